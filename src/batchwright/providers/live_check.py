"""Verifies an adapter's assumptions with a real account: questions, a cheap server, and the answers."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from batchwright.errors import ProviderUnavailable
from batchwright.model.call_outcome import Created, Gone, Rejected, ServerState
from batchwright.model.clock import Clock
from batchwright.model.ids import Token, step_token
from batchwright.model.workflow import ServerConfig
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.base import ChangesServers, Provider, Quote

LISTED = "how soon is a new server listed by its label (assumed: within the settle time)"
VANISHED = "is a create carried out whose client has gone, and how late (assumed: perhaps, within the settle time)"
CHANGED = "does a server get another plan and a label in place, and then run (assumed: yes)"

Tell = Callable[[str], None]


class AccountFinding(Struct, frozen=True):
    """An answer. `as_assumed`: whether the assumption of the adapter and the emulator holds; None if there was no
    answer.
    """

    question: str
    answer: str
    as_assumed: bool | None = None


class LiveCheck(ABC):
    """What `batchwright providers verify NAME --live` does. An adapter returns its check from `live_check()`.

    A cloud's own check defines the questions; this class records answers, waits within bounds, and cleans up.

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
    servers: tuple[str, ...] = ("verify-1", "verify-2")  # created one after the other
    patience = 600.0  # seconds, for each thing that is waited for
    passing: tuple[type[Exception], ...] = (ProviderUnavailable,)  # errors of a call that may succeed next time

    def __init__(self, provider: Provider, clock: Clock) -> None:
        self.findings: list[AccountFinding] = []
        self.tell: Tell = print
        self._provider, self._clock = provider, clock
        self._settle, self._poll = provider.capabilities.settle_seconds, provider.capabilities.poll_seconds

    @abstractmethod
    async def config(self, name: str) -> ServerConfig:
        """The configuration of a cheap server."""

    @abstractmethod
    async def ask(self, run: str) -> None:
        """Ask all questions, in order."""

    async def cost(self) -> Quote | None:
        """The price per hour of everything it creates; read-only. None if the provider does not tell."""
        requests = [await self.request(name) for name in self.servers]
        if other := await self.other_plan():
            requests.append(await self.request(self.servers[0], other))
        return await self._provider.quote(requests)

    async def other_plan(self) -> str:
        """The plan that the cheap server is changed to; empty if that is not asked."""
        return ""

    async def run(self, run: str, tell: Tell) -> list[AccountFinding]:
        """Ask under this run's label, and then remove everything with the label, even after an error."""
        self.findings, self.tell = [], tell
        try:
            await self.ask(run)
        finally:
            await self._clean(run)
        return self.findings

    async def request(self, name: str, plan: str = "") -> ServerRequest:
        """The create request of the cheap server, or of one with another plan. Raises ProviderUnavailable."""
        config = await self.config(name)
        (answer,) = await self._provider.resolve([replace(config, plan=plan or config.plan)])
        if not isinstance(answer, ServerRequest):
            raise ProviderUnavailable(answer[0].message, hint=answer[0].hint)
        return answer

    def found(self, question: str, answer: str, as_assumed: bool | None = None) -> None:
        """Record an answer and report it."""
        self.findings.append(AccountFinding(question, answer, as_assumed))
        self.tell(f"{question}: {answer}")

    async def made(self, request: ServerRequest, token: Token) -> str:
        """Create a server and return its reference. Raises ProviderUnavailable."""
        said = await self._provider.create(request, token)
        if not isinstance(said, Created):
            raise ProviderUnavailable(f"the check could not create its server: {said}", hint="Nothing else was asked.")
        return said.ref

    async def listed(self, token: Token, began: float) -> None:
        """Measure how soon the server can be found again."""
        while not await self._provider.find(token.run, token.value):
            await self.wait(began, "is not listed by its label")
        seconds = self._clock.now() - began
        self.found(LISTED, f"after {seconds:.1f} s", seconds <= self._settle)

    async def started(self, question: str, ref: str, began: float) -> None:
        """Measure how soon it is ready."""
        while (await self._provider.describe([ref]))[ref].state is not ServerState.READY:
            await self.wait(began, "is not running")
        self.found(question, f"after {self._clock.now() - began:.0f} s")

    async def changed(self, ref: str, request: ServerRequest) -> None:
        """Give a server that runs the other plan and a label, and wait until it runs again."""
        provider, began = self._provider, self._clock.now()
        other = await self.request(request.name, await self.other_plan())
        wanted = replace(other, labels={**other.labels, "verified": "yes"})
        assert isinstance(provider, ChangesServers)
        while not isinstance(said := await provider.change(ref, wanted, request), Created):
            if isinstance(said, Rejected):
                self.found(CHANGED, f"{said.fault.code}: {said.fault.message}", False)
                return
            await self.wait(began, "is being changed")
        while (seen := (await provider.describe([ref]))[ref]).state is not ServerState.READY:
            await self.wait(began, "does not run after its change")
        seconds, found = self._clock.now() - began, await provider.find(seen.run, seen.token)
        kept = (seen.plan, [one.ref for one in found]) == (other.plan, [ref])
        self.found(CHANGED, f"{seen.plan} after {seconds:.0f} s" + ("" if found else ", without its labels"), kept)

    async def gone(self, ref: str) -> None:
        """Wait until it is gone."""
        began = self._clock.now()
        while not isinstance(await self._provider.destroy(ref), Gone):
            await self.wait(began, "has not gone")

    async def wait(self, began: float, what: str) -> None:
        """Wait one poll interval, within bounds. Raises ProviderUnavailable when time is up."""
        if self._clock.now() - began > self.patience:
            message = f"after {self.patience:.0f} s the check's server still {what}"
            raise ProviderUnavailable(message, hint="See below.")
        await self._clock.sleep(self._poll)

    async def vanish(self, request: ServerRequest, token: Token, after: float) -> None:
        """Send a create call and disconnect after this many seconds, before it is answered."""
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
        """Clean up until nothing of the run was seen for the settle time. Raises ProviderUnavailable if something
        remains.
        """
        clean_since = began = self._clock.now()
        while self._clock.now() - clean_since <= self._settle:
            if self._clock.now() - began > self.patience + self._settle:
                residue = f"not everything with the label batchwright-run={run} could be removed"
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
        self.tell("everything that it created is removed")


def token_of(run: str, step: str, generation: int = 1) -> Token:
    """The token of a server that the check creates."""
    return Token(run, step_token(run, step, generation))
