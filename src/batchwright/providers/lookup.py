"""Shared by adapters for lookups: ownership by label, many records at once, and names that are not offered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import TypeVar

from batchwright.model.diagnostic import Diagnostic
from batchwright.model.did_you_mean import close_matches

FEW = 4  # servers that are fetched one by one instead of by a listing
SHOWN = 8  # offered names shown in a hint

R = TypeVar("R")


def is_wanted(labels: tuple[str, str], run: str | None, token: str | None) -> bool:
    """Whether what carries this run and token ("" for none) is Batchwright's, of `run` and `token` where given."""
    return bool(labels[0]) and run in (None, labels[0]) and token in (None, labels[1])


async def records(
    refs: Sequence[str],
    listing: Callable[[], Awaitable[Mapping[str, R]]],
    record: Callable[[str], Awaitable[R | None]],
) -> dict[str, R]:
    """The records of these, as far as they are there: few one by one, many by a listing.

    What a listing does not show (yet) is asked for one by one as well. Raises what the two raise.
    """
    known = dict(await listing()) if len(refs) > FEW else {}
    missing = [ref for ref in refs if ref not in known]
    found = await asyncio.gather(*map(record, missing))
    return known | {ref: one for ref, one in zip(missing, found, strict=True) if one is not None}


def not_offered(field: str, value: str, offered: Collection[str], message: str, otherwise: str = "") -> Diagnostic:
    """The diagnostic `unknown-FIELD`. Its hint is the nearest name, else `otherwise`, else the offered names."""
    near = close_matches(value, offered, n=1, cutoff=0.5)
    some = ", ".join(sorted(offered)[:SHOWN]) + (", ..." if len(offered) > SHOWN else "")
    hint = f'Did you mean "{near[0]}"?' if near else otherwise or f"Available: {some}"
    return Diagnostic(f"unknown-{field}", message, hint, field=field)
