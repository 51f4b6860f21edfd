"""The name that was probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def close_matches(word: str, known: Iterable[str], n: int = 3, cutoff: float = 0.6) -> list[str]:
    """As difflib.get_close_matches, but ignoring case: `DE-FRA1` is as close to `de-fra1` as possible."""
    by_fold: dict[str, list[str]] = {}
    for name in known:
        by_fold.setdefault(name.casefold(), []).append(name)
    found = get_close_matches(word.casefold(), by_fold, n, cutoff)
    return [name for fold in found for name in by_fold[fold]][:n]
