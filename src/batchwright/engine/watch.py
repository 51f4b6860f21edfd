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
PATIENCE_LOOKS = 8  # and so many at least, where it asks for long pauses

Send = Callable[[cmd.Report], None]
Fail = Callable[[BaseException], None]


class _Silence:
    """A kind of look that fails: since when and why, and when to look again if it was throttled."""

    def __init__(self, since: float) -> None:
        self.since = self.not_before = since
        self.looks = self.throttles = 0
        self.why = ""

    def failed(self, error: BaseException, now: float, poll: float) -> None:
        self.looks += 1
        self.why = f"{type(error).__name__}: {error}".rstrip(": ")
        self.not_before = now
        if isinstance(error, ProviderThrottled):
            self.throttles = min(self.throttles + 1, SLOWER_MAX)
            self.not_before += max(poll * 2**self.throttles, asked_pause(error.retry_after))

    def ends_patience(self, now: float) -> bool:
        """Whether it has gone on for too long."""
        return now - self.since >= PATIENCE_SECONDS and self.looks >= PATIENCE_LOOKS


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
        self._silent: dict[str, _Silence] = {}  # by kind of look
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
                await self._clock.sleep(poll)

    async def _patiently(self, kind: str, look: Callable[[float], Awaitable[None]], now: float) -> Fault | None:
        """Look, unless it is too early. A failed look says nothing; only after too many this gives the reason."""
        silence = self._silent.get(kind) or _Silence(now)
        if now < silence.not_before:
            return None
        try:
            async with asyncio.timeout(self._provider.capabilities.call_timeout):
                await look(now)
        except (Exception, asyncio.CancelledError) as error:
            if self._closing:
                raise
            self._silent[kind] = silence
            silence.failed(error, self._clock.now(), self._provider.capabilities.poll_seconds)
            if not silence.ends_patience(now):
                return None
            why = f"the provider could not be asked for {now - silence.since:.0f} s: {silence.why}"
            return Fault(FaultClass.IN_DOUBT, why)
        self._silent.pop(kind, None)
        return None

    def unheard(self, now: float) -> str:
        """For how long a kind of look has not been answered, and why; empty when that is not worth a word."""
        longest = min(self._silent.values(), key=lambda silence: silence.since, default=None)
        if longest is None or now - longest.since < UNHEARD_SECONDS:
            return ""
        return f"cannot be asked for {now - longest.since:.0f} s: {longest.why}"

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
        del self._silent["find"]  # whoever asks next is as patient again

    def _give_up_waiting(self, fault: Fault, now: float) -> None:
        """Only for those whose time is up; the others may still hear of their server."""
        for waiting in [waiting for waiting in self._awaits.values() if now >= waiting.deadline]:
            del self._awaits[waiting.step]
            self._send(cmd.Looked(waiting.step, waiting.attempt, waiting.ref, fault=fault))
        if not self._awaits:
            del self._silent["describe"]
