"""Errors of providers that cannot be asked."""

from __future__ import annotations

from batchwright.errors.base import BatchwrightError


class ProviderUnavailable(BatchwrightError):
    """A provider cannot be used: its name is unknown, its package is missing, or it cannot be reached.

    `passing` says whether a retry may help; None: the adapter does not know.

    >>> ProviderUnavailable("racks does not answer", passing=True).passing
    True
    """

    code = "provider-unavailable"

    def __init__(self, message: str, *, hint: str | None = None, passing: bool | None = None) -> None:
        super().__init__(message, hint=hint)
        self.passing = passing  # whether a retry may help; None: the adapter does not know


class ProviderThrottled(ProviderUnavailable):
    """A provider rejected a call because too many were made.

    `retry_after` is the number of seconds to wait, or None if the provider did not say.

    >>> error = ProviderThrottled("racks: too many requests", retry_after=2.5)
    >>> (error.retry_after, error.passing)
    (2.5, True)
    """

    code = "provider-throttled"
    hint = "Try again in a moment, or lower the rate in its settings."

    def __init__(self, message: str, *, retry_after: float | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint, passing=True)
        self.retry_after = retry_after  # seconds to wait, if the provider said so
