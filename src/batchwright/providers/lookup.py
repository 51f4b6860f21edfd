"""What adapters share to look for servers: whose one is, and many at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

FEW = 4  # servers that are fetched one by one instead of by a listing

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
