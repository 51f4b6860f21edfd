"""The base class of all errors."""


class BatchwrightError(Exception):
    """An error that Batchwright can explain to its user.

    `message` is one line; `hint` says what to do, or is empty; `diagnostics` are the problems behind it. A subclass
    sets `code`, which scripts match on, and perhaps a default `hint`.

    >>> class RackOffline(BatchwrightError):
    ...     code = "rack-offline"
    ...     hint = "Switch it on."
    >>> error = RackOffline("rack 7 is offline")
    >>> (error.code, error.message, error.hint)
    ('rack-offline', 'rack 7 is offline', 'Switch it on.')
    """

    code = "error"
    hint = ""

    def __init__(self, message: str, *, hint: str | None = None, diagnostics: tuple[object, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.diagnostics = diagnostics  # the problems behind it; may be empty
        if hint is not None:
            self.hint = hint


class StoreError(BatchwrightError):
    """The store cannot carry out the request."""

    code = "store"
