"""Wording of problems: short lists of names, and the name that was probably meant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from batchwright.model.did_you_mean import close_matches

NAMES_SHOWN_MAX = 3
KNOWN_SHOWN_MAX = 12


def enumerated(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`, `a, b, c and 97 more`."""
    shown = list(names[:NAMES_SHOWN_MAX])
    if len(names) > NAMES_SHOWN_MAX:
        return f"{', '.join(shown)} and {len(names) - NAMES_SHOWN_MAX} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint with the closest known name, or else with all known names."""
    candidates = sorted(set(known))
    close = close_matches(name, candidates, n=1)
    if close:
        return f'Did you mean "{close[0]}"?'
    more = f" and {len(candidates) - KNOWN_SHOWN_MAX} more" if len(candidates) > KNOWN_SHOWN_MAX else ""
    return f"Known: {', '.join(candidates[:KNOWN_SHOWN_MAX])}{more}." if candidates else "There are none."
