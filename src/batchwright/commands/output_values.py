"""The values that a command gives: KEY=VALUE lines in the file that OUTPUTS names, read once it has ended with 0."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from batchwright.model.call_outcome import Applied, Rejected
from batchwright.model.fault import Fault, FaultClass

BYTES_MAX = 64 * 1024  # of all values together
INVALID, MISSING, SECRET = "output-invalid", "output-missing", "output-secret"
SHOWN = 60


class _Flaw(Exception):
    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.code, self.message, self.hint = code, message, hint


def with_outputs(
    outcome: Applied,
    name: str,
    data: bytes,
    declared: Sequence[str],
    redacted: Callable[[str], str],
    tell: Callable[[str], None],
) -> Applied | Rejected:
    """The outcome of a program that ended well and wrote this; without a valid value for each declared key it failed.

    A key that was not declared is dropped, and told. A value that holds a secret, which `redacted` replaces, is never
    given on.
    """
    try:
        found = _parsed(data)
        for key in (key for key in found if key not in declared):
            tell(f"the output {key[:SHOWN]} is dropped: it is not among the outputs of this command")
        outputs = {key: found[key] for key in declared if key in found}
        _examine(outputs, declared, redacted)
    except _Flaw as flaw:
        return Rejected(Fault(FaultClass.INVALID, f"{name} ended well, but {flaw.message}", flaw.code, flaw.hint))
    return replace(outcome, outputs=outputs)


def _parsed(data: bytes) -> dict[str, str]:
    form = "Append lines such as KEY=VALUE to the file $BATCHWRIGHT_OUTPUTS."
    if len(data) > BYTES_MAX:
        raise _Flaw(INVALID, f"its outputs are longer than {BYTES_MAX // 1024} KiB", "Pass large data through a file.")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise _Flaw(INVALID, f"its outputs are not UTF-8: byte {error.start}", form) from None
    if "\0" in text:
        raise _Flaw(INVALID, "its outputs hold a NUL character", form)
    found: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        key, equals, value = line.removesuffix("\r").partition("=")
        if not key and not equals:
            continue
        if not equals:
            raise _Flaw(INVALID, f"line {number} of its outputs has no =", form)
        if key in found:
            raise _Flaw(INVALID, f"it gave the output {key[:SHOWN]} twice", "Write each key once per start.")
        found[key] = value
    return found


def _examine(outputs: dict[str, str], declared: Sequence[str], redacted: Callable[[str], str]) -> None:
    missing = [key for key in dict.fromkeys(declared) if key not in outputs]
    if missing:
        hint = "Append KEY=VALUE lines to the file $BATCHWRIGHT_OUTPUTS, or take the key from `outputs`."
        raise _Flaw(MISSING, f"it did not give its output{'s' * (len(missing) > 1)} {', '.join(missing)}", hint)
    for key, value in outputs.items():
        if redacted(value) != value:
            hint = 'Outputs are kept and shown. Refer to the secret where it is used: { env = "NAME" }.'
            raise _Flaw(SECRET, f"its output {key} holds a secret", hint)
