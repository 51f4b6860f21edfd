"""What every error of ours is."""


class BatchwrightError(Exception):
    """Something Batchwright can explain went wrong."""

    code = "error"
    hint = ""

    def __init__(self, message: str, *, hint: str | None = None, diagnostics: tuple[object, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.diagnostics = diagnostics  # the findings behind it, where there are some
        if hint is not None:
            self.hint = hint
