"""How an adapter settles with a real account what no emulator can: questions, a cheap server, answers in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from batchwright.providers.base import Quote

Tell = Callable[[str], None]


class Finding(Struct, frozen=True):
    """An answer. `as_assumed` is whether the adapter's and the emulator's assumption holds; None: there was none."""

    question: str
    answer: str
    as_assumed: bool | None = None


class LiveCheck(Protocol):
    """What `batchwright providers verify NAME --live` does. An adapter that has one gives it by `live_check()`."""

    questions: tuple[str, ...]
    makes: str  # what it makes, in words, for the people who pay for it

    async def cost(self) -> Quote | None:
        """Of an hour of all that it makes; read-only. None when the provider does not tell."""
        ...

    async def run(self, run: str, tell: Tell) -> list[Finding]:
        """Ask, under this run's label, and take away whatever carries it, even when something goes wrong on the way."""
        ...
