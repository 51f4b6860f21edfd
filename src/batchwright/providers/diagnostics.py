"""Diagnostics that several providers give."""

from __future__ import annotations

from collections.abc import Collection

from batchwright.model.diagnostic import Diagnostic
from batchwright.model.did_you_mean import close_matches

SHOWN = 8  # offered names shown in a hint


def not_offered(field: str, value: str, offered: Collection[str], message: str, otherwise: str = "") -> Diagnostic:
    """The diagnostic `unknown-FIELD`. Its hint is the nearest name, else `otherwise`, else the offered names."""
    near = close_matches(value, offered, n=1, cutoff=0.5)
    some = ", ".join(sorted(offered)[:SHOWN]) + (", ..." if len(offered) > SHOWN else "")
    hint = f'Did you mean "{near[0]}"?' if near else otherwise or f"Available: {some}"
    return Diagnostic(f"unknown-{field}", message, hint, field=field)
