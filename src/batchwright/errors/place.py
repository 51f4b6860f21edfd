"""Errors of calls to a place: a network that only a worker inside can reach."""

from __future__ import annotations

from batchwright.errors.provider import ProviderUnavailable


class PlaceUnreachable(ProviderUnavailable):
    """No worker at the place took the call, or nothing could carry it there. It was certainly not begun."""

    code = "place-unreachable"
    hint = "Start a worker inside that network: batchwright worker --place PLACE"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint, passing=True)


class PlaceAnswerLost(ProviderUnavailable):
    """A call went to a place, and no answer came back: it may have been carried out."""

    code = "place-answer-lost"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint, passing=True)


class PlaceRefused(ProviderUnavailable):
    """The allow-list of the worker at the place does not have this call. It was not carried out."""

    code = "place-refused"
    hint = "The table [place] in config.toml at the place says what its worker may do."

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint, passing=False)


class PlaceDiffers(PlaceRefused):
    """The worker at the place is of another version, whose calls have other values. It carried nothing out."""

    code = "place-differs"
    hint = "Install the same version of Batchwright at the place and here."


class PlaceUnusable(ProviderUnavailable):
    """There is nothing that could carry calls to a place: no address is configured, or a package is missing."""

    code = "place-unusable"
    hint = 'Name the Temporal server in config.toml: [temporal] address = "HOST:7233"'

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint, passing=False)
