"""How an adapter settles with a real account what no emulator can: questions, a cheap server, answers in words."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from batchwright.errors import ProviderUnavailable
from batchwright.model.clock import Clock
from batchwright.model.ids import Token
from batchwright.model.plan import ServerRequest
from batchwright.providers.base import Provider, Quote

VANISHED = "is a create carried out whose client has gone, and how late (assumed: perhaps, within the settle time)"

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


class Inquiry:
    """What every live check does with an opened provider: note its answers, wait within bounds, and clean up.

    `patience`: seconds for each thing that is waited for. `passing`: errors of a call that may be none the next time.
    """

    def __init__(
        self, provider: Provider, clock: Clock, patience: float, passing: tuple[type[Exception], ...] = ()
    ) -> None:
        self.findings: list[Finding] = []
        self.tell: Tell = print
        self.settle = provider.capabilities.settle_seconds
        self.poll = provider.capabilities.poll_seconds
        self._provider, self._clock, self._patience = provider, clock, patience
        self._passing: tuple[type[Exception], ...] = (ProviderUnavailable, *passing)

    def begin(self, tell: Tell) -> None:
        """Forget what was found before."""
        self.findings, self.tell = [], tell

    def found(self, question: str, answer: str, as_assumed: bool | None = None) -> None:
        """Note an answer, and tell it."""
        self.findings.append(Finding(question, answer, as_assumed))
        self.tell(f"{question}: {answer}")

    async def wait(self, began: float, what: str) -> None:
        """One poll interval, if what it made may still be so. Raises ProviderUnavailable."""
        if self._clock.now() - began > self._patience:
            message = f"after {self._patience:.0f} s what the check made still {what}"
            raise ProviderUnavailable(message, hint="See below.")
        await self._clock.sleep(self.poll)

    async def vanish(self, request: ServerRequest, token: Token, after: float) -> None:
        """Send a create and go away, after so many seconds, before it is answered."""
        sending = asyncio.ensure_future(self._provider.create(request, token))
        await self._clock.sleep(min(after, self.poll))
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        began = self._clock.now()
        while self._clock.now() - began <= self.settle:
            if await self._provider.find(token.run, token.value):
                self.found(VANISHED, f"yes, seen after {self._clock.now() - began:.1f} s", True)
                return
            await self._clock.sleep(self.poll)
        self.found(VANISHED, f"not within {self.settle:.0f} s")

    async def clean(self, run: str, residue: ProviderUnavailable) -> None:
        """Until nothing of the run has been seen for the settle time. Raises `residue` when it does not all go."""
        clean_since = began = self._clock.now()
        while self._clock.now() - clean_since <= self.settle:
            if self._clock.now() - began > self._patience + self.settle:
                raise residue
            try:
                left = await self._provider.find(run)
                for one in left:
                    await self._provider.destroy(one.ref)
            except self._passing as error:
                self.tell(f"cleaning up: {error}; trying again")
                left = None
            if left != []:
                clean_since = self._clock.now()
            await self._clock.sleep(self.poll)
        self.tell("nothing that it made is left")
