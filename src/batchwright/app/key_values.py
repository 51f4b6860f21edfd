"""KEY=VALUE words, as on the command line and in a request's query."""

from __future__ import annotations

from collections.abc import Sequence

from batchwright.errors import UsageError
from batchwright.model.scalar import Scalar

NUMBER_MAX = 2**53  # a larger one is not the same everywhere in JSON


def pairs_of(option: str, pairs: Sequence[str] | None) -> dict[str, str]:
    """The words as a dict; `option` is their prefix in error messages: `--sim`, `sim`. Raises UsageError."""
    before = f"{option} " if option.startswith("-") else f"{option}="
    found: dict[str, str] = {}
    for pair in pairs or ():
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"{before}{pair}: expected a key, = and a value", hint=f"Write {before}KEY=VALUE.")
        if key.strip() in found:
            raise UsageError(f"{before}{key.strip()} is given twice", hint="Give it once.")
        found[key.strip()] = value.strip()
    return found


def settings_of(option: str, pairs: Sequence[str] | None) -> dict[str, Scalar]:
    """The words as typed settings. Raises UsageError."""
    return {key: scalar(value) for key, value in pairs_of(option, pairs).items()}


def scalar(text: str) -> Scalar:
    """A word as bool, int, float or str, by its form; a number that JSON cannot hold stays a string."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            continue
        if abs(value) <= NUMBER_MAX:  # not so for NaN
            return value
    return text
