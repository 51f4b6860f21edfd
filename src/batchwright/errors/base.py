"""The base class of all errors."""


class BatchwrightError(Exception):
    """An error that Batchwright can explain.

    `message` is one line; `hint` says what to do, or is empty; `diagnostics` are the problems behind it.
    """

    code = "error"
    hint = ""

    def __init__(self, message: str, *, hint: str | None = None, diagnostics: tuple[object, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.diagnostics = diagnostics  # the problems behind it; may be empty
        if hint is not None:
            self.hint = hint
