"""How an adapter settles with a real account what no emulator can: questions, a cheap server, answers in words."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable

from msgspec import Struct

from batchwright.errors import ProviderUnavailable
from batchwright.model.clock import Clock
from batchwright.model.ids import Token, step_token
from batchwright.model.outcome import Created, Gone, ServerState
from batchwright.model.workflow import ServerConfig
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.base import Provider, Quote

LISTED = "how soon is a new server listed by its label (assumed: within the settle time)"
VANISHED = "is a create carried out whose client has gone, and how late (assumed: perhaps, within the settle time)"

Tell = Callable[[str], None]


class AccountFinding(Struct, frozen=True):
    """An answer. `as_assumed` is whether the adapter's and the emulator's assumption holds; None: there was none."""

    question: str
    answer: str
    as_assumed: bool | None = None


class LiveCheck(ABC):
    """What `batchwright providers verify NAME --live` does. An adapter that has one returns it from `live_check()`.

    A subclass asks its questions. This class notes the answers, waits within bounds, and removes what was created.

    >>> class RacksCheck(LiveCheck):
    ...     questions = (LISTED,)
    ...     makes = "two small servers"
    ...     console = "https://racks.example/servers"
    ...     async def config(self, name: str) -> ServerConfig:
    ...         return ServerConfig(name, plan="small", zone="eu")
    ...     async def ask(self, run: str) -> None:
    ...         token = token_of(run, "live/verify-1")
    ...         began = self._clock.now()
    ...         await self.made(await self.request("verify-1"), token)
    ...         await self.listed(token, began)
    >>> RacksCheck.servers
    ('verify-1', 'verify-2')
    """

    questions: tuple[str, ...]
    makes: str  # in words, for the people who pay for it
    console: str  # where people remove what could not be removed
    servers: tuple[str, ...] = ("verify-1", "verify-2")  # one after the other
    patience = 600.0  # seconds for each thing that is waited for
    passing: tuple[type[Exception], ...] = (ProviderUnavailable,)  # errors of a call that may be none the next time

    def __init__(self, provider: Provider, clock: Clock) -> None:
        self.findings: list[AccountFinding] = []
        self.tell: Tell = print
        self._provider, self._clock = provider, clock
        self._settle, self._poll = provider.capabilities.settle_seconds, provider.capabilities.poll_seconds

    @abstractmethod
    async def config(self, name: str) -> ServerConfig:
        """A cheap server."""

    @abstractmethod
    async def ask(self, run: str) -> None:
        """All the questions, in order."""

    async def cost(self) -> Quote | None:
        """Of an hour of all that it makes; read-only. None when the provider does not tell."""
        return await self._provider.quote([await self.request(name) for name in self.servers])

    async def run(self, run: str, tell: Tell) -> list[AccountFinding]:
        """Ask, under this run's label, and take away whatever carries it, even when something goes wrong on the way."""
        self.findings, self.tell = [], tell
        try:
            await self.ask(run)
        finally:
            await self._clean(run)
        return self.findings

    async def request(self, name: str) -> ServerRequest:
        """What a create of the cheap server sends. Raises ProviderUnavailable."""
        (answer,) = await self._provider.resolve([await self.config(name)])
        if not isinstance(answer, ServerRequest):
            raise ProviderUnavailable(answer[0].message, hint=answer[0].hint)
        return answer

    def found(self, question: str, answer: str, as_assumed: bool | None = None) -> None:
        """Note an answer, and tell it."""
        self.findings.append(AccountFinding(question, answer, as_assumed))
        self.tell(f"{question}: {answer}")

    async def made(self, request: ServerRequest, token: Token) -> str:
        """A new server. Raises ProviderUnavailable."""
        said = await self._provider.create(request, token)
        if not isinstance(said, Created):
            raise ProviderUnavailable(f"the check could not make its server: {said}", hint="Nothing else was asked.")
        return said.ref

    async def listed(self, token: Token, began: float) -> None:
        """How soon it can be found again."""
        while not await self._provider.find(token.run, token.value):
            await self.wait(began, "is not listed by its label")
        seconds = self._clock.now() - began
        self.found(LISTED, f"after {seconds:.1f} s", seconds <= self._settle)

    async def started(self, question: str, ref: str, began: float) -> None:
        """How soon it is ready."""
        while (await self._provider.describe([ref]))[ref].state is not ServerState.READY:
            await self.wait(began, "is not running")
        self.found(question, f"after {self._clock.now() - began:.0f} s")

    async def gone(self, ref: str) -> None:
        """Until it is."""
        began = self._clock.now()
        while not isinstance(await self._provider.destroy(ref), Gone):
            await self.wait(began, "does not go")

    async def wait(self, began: float, what: str) -> None:
        """One poll interval, if what it made may still be so. Raises ProviderUnavailable."""
        if self._clock.now() - began > self.patience:
            message = f"after {self.patience:.0f} s what the check made still {what}"
            raise ProviderUnavailable(message, hint="See below.")
        await self._clock.sleep(self._poll)

    async def vanish(self, request: ServerRequest, token: Token, after: float) -> None:
        """Send a create and go away, after so many seconds, before it is answered."""
        sending = asyncio.ensure_future(self._provider.create(request, token))
        await self._clock.sleep(min(after, self._poll))
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        began = self._clock.now()
        while self._clock.now() - began <= self._settle:
            if await self._provider.find(token.run, token.value):
                self.found(VANISHED, f"yes, seen after {self._clock.now() - began:.1f} s", True)
                return
            await self._clock.sleep(self._poll)
        self.found(VANISHED, f"not within {self._settle:.0f} s")

    async def _clean(self, run: str) -> None:
        """Until nothing of the run has been seen for the settle time. Raises ProviderUnavailable when not all goes."""
        clean_since = began = self._clock.now()
        while self._clock.now() - clean_since <= self._settle:
            if self._clock.now() - began > self.patience + self._settle:
                residue = f"what carries the label batchwright-run={run} could not all be removed"
                raise ProviderUnavailable(residue, hint=f"Remove it in {self.console}: it is billed.")
            try:
                left = await self._provider.find(run)
                for one in left:
                    await self._provider.destroy(one.ref)
            except self.passing as error:
                self.tell(f"cleaning up: {error}; trying again")
                left = None
            if left != []:
                clean_since = self._clock.now()
            await self._clock.sleep(self._poll)
        self.tell("nothing that it made is left")


def token_of(run: str, step: str, generation: int = 1) -> Token:
    """Of a server that the check makes."""
    return Token(run, step_token(run, step, generation))
