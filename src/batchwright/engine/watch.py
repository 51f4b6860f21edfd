"""Looking at a provider on behalf of many steps at once: one listing per tick, whatever the number of servers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from batchwright.engine import commands as cmd
from batchwright.engine.policy import asked_pause
from batchwright.errors import ProviderThrottled
from batchwright.model.clock import Clock
from batchwright.model.outcome import Fault, FaultClass, Observed, ServerState
from batchwright.providers.base import Provider

UNHEARD_SECONDS = 10.0  # of looks that fail, before it is worth a word
SLOWER_MAX = 4  # times that throttled looks double the time to the next
PATIENCE_SECONDS = 900.0  # for a provider that cannot be asked, before a doubt is reported as unsettled

Send = Callable[[cmd.Report], None]
Fail = Callable[[BaseException], None]


class Watch:
    """One provider, one run: servers waited for until ready, and calls in doubt looked for by their token."""

    def __init__(self, provider: Provider, run: str, clock: Clock, send: Send, fail: Fail) -> None:
        self._provider = provider
        self._run = run
        self._clock = clock
        self._send = send
        self._fail = fail
        self._awaits: dict[int, cmd.Await] = {}
        self._settles: dict[int, tuple[cmd.Settle, str, float]] = {}
        self._unanswered: dict[str, float] = {}  # kind of look -> since when it fails
        self._why = ""  # how the last look failed
        self._throttles, self._pause = 0, 0.0  # looks throttled in a row, and what the last of them asked for
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    def wait_for(self, command: cmd.Await) -> None:
        """Report when the server is ready, broken, gone, or late."""
        self._awaits[command.step] = command
        self._wake()

    def look_for(self, command: cmd.Settle, token: str, until: float) -> None:
        """Report what carries the token, or that nothing does at a look that began after `until`."""
        self._settles[command.step] = (command, token, until)
        self._wake()

    def _wake(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._loop())
            self._task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    async def aclose(self) -> None:
        """Stop looking."""
        self._closing = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _loop(self) -> None:
        poll = self._provider.capabilities.poll_seconds
        while self._awaits or self._settles:
            now = self._clock.now()
            if self._settles and (fault := await self._patiently("find", self._search, now)):
                self._give_up_settling(fault)
            if self._awaits and (fault := await self._patiently("describe", self._visit, now)):
                self._give_up_waiting(fault, now)
            if self._awaits or self._settles:
                await self._clock.sleep(max(poll * 2 ** min(self._throttles, SLOWER_MAX), self._pause))

    async def _patiently(self, kind: str, look: Callable[[float], Awaitable[None]], now: float) -> Fault | None:
        """Look. A failed look says nothing; only when it has failed for too long this gives the reason."""
        try:
            async with asyncio.timeout(self._provider.capabilities.call_timeout):
                await look(now)
        except (Exception, asyncio.CancelledError) as error:
            if self._closing:
                raise
            if isinstance(error, ProviderThrottled):
                self._throttles, self._pause = self._throttles + 1, asked_pause(error.retry_after)
            self._why = f"{type(error).__name__}: {error}".rstrip(": ")
            if now - self._unanswered.setdefault(kind, now) < PATIENCE_SECONDS:
                return None
            why = f"the provider could not be asked for {PATIENCE_SECONDS:.0f} s: {self._why}"
            return Fault(FaultClass.IN_DOUBT, why)
        self._unanswered.pop(kind, None)
        self._throttles, self._pause = 0, 0.0
        return None

    def unheard(self, now: float) -> str:
        """For how long no look has been answered, and why; empty when that is not worth a word."""
        since = min(self._unanswered.values(), default=now)
        return f"cannot be asked for {now - since:.0f} s: {self._why}" if now - since >= UNHEARD_SECONDS else ""

    async def _search(self, now: float) -> None:
        asked = dict(self._settles)
        by_token: dict[str, Observed] = {}
        for observed in sorted(await self._provider.find(self._run), key=lambda o: o.ref, reverse=True):
            if observed.state not in (ServerState.GONE, ServerState.STOPPING):
                by_token[observed.token] = observed
        for step, (command, token, until) in asked.items():
            found = by_token.get(token)
            if found is not None or now >= until:
                del self._settles[step]
                self._send(cmd.Settled(step, command.attempt, found))

    async def _visit(self, now: float) -> None:
        waiting = dict(self._awaits)
        seen = await self._provider.describe([command.ref for command in waiting.values()])
        for step, command in waiting.items():
            self._look(step, command, seen[command.ref], now)

    def _look(self, step: int, command: cmd.Await, seen: Observed, now: float) -> None:
        fault: Fault | None
        match seen.state:
            case ServerState.READY:
                fault = None
            case ServerState.BROKEN:
                fault = seen.fault or Fault(FaultClass.TRANSIENT, "the server came up broken")
            case ServerState.GONE | ServerState.STOPPING:
                fault = Fault(FaultClass.CONFLICT, f"server {command.ref} is gone; somebody else removed it")
            case _ if now >= command.deadline:
                fault = Fault(FaultClass.TIMEOUT, f"server {command.ref} was not ready in time ({seen.state})")
            case _:
                return
        del self._awaits[step]
        self._send(cmd.Looked(step, command.attempt, command.ref, seen.address, fault))

    def _give_up_settling(self, fault: Fault) -> None:
        for step, (command, _, _) in self._settles.items():
            self._send(cmd.Settled(step, command.attempt, fault=fault))
        self._settles.clear()
        del self._unanswered["find"]  # whoever asks next is as patient again

    def _give_up_waiting(self, fault: Fault, now: float) -> None:
        """Only for those whose time is up; the others may still hear of their server."""
        for waiting in [waiting for waiting in self._awaits.values() if now >= waiting.deadline]:
            del self._awaits[waiting.step]
            self._send(cmd.Looked(waiting.step, waiting.attempt, waiting.ref, fault=fault))
        if not self._awaits:
            del self._unanswered["describe"]
