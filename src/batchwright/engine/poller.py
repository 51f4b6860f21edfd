"""Polls a provider for many steps at once: one listing per tick, however many servers there are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from msgspec.structs import replace

from batchwright.engine import effects, reports
from batchwright.engine.port_calls import answer
from batchwright.engine.read_retry import Outage, ReadRetry
from batchwright.model.call_outcome import Observed, ServerState, Unknown
from batchwright.model.clock import Clock
from batchwright.model.fault import Fault, FaultClass
from batchwright.providers.base import Provider

UNSEEN_SECONDS = 60.0  # for which a server that was made may not be seen, at least

Send = Callable[[reports.Report], None]
Fail = Callable[[BaseException], None]


class Poller:
    """Polls one provider for one run: for servers that are not ready, and for calls in doubt, by their token."""

    def __init__(self, provider: Provider, run: str, clock: Clock, looks: ReadRetry, send: Send, fail: Fail) -> None:
        self._provider = provider
        self._run = run
        self._clock = clock
        self._looks = looks
        self._send = send
        self._fail = fail
        self._awaits: dict[int, effects.Await] = {}
        self._missing: dict[str, float] = {}  # servers that are waited for and not seen: since when
        self._settles: dict[int, tuple[effects.Settle, str, float]] = {}
        self._outages: dict[str, Outage] = {}  # by kind of look
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    def wait_for(self, command: effects.Await) -> None:
        """Report when the server is ready, broken, gone, or late."""
        self._awaits[command.step] = command
        self._wake()

    def look_for(self, command: effects.Settle, token: str, until: float) -> None:
        """Report what carries the token, or that nothing did at a read that began after `until`."""
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
        """Stop polling and cancel the pending reads."""
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

    async def _patiently(
        self, kind: str, look: Callable[[float], Coroutine[Any, Any, None]], now: float
    ) -> Fault | None:
        """Look, unless it is too early. A failed look says nothing; only after too many this gives the reason."""
        outage, began = self._outages.get(kind), self._clock.monotonic()
        if outage is not None and began < outage.again_at:
            return None
        known = self._provider.capabilities
        seen = await answer(known.call_timeout, look(now), lambda: self._closing)
        if not isinstance(seen, Unknown):
            self._heard(kind)
            return None
        if outage is None:
            outage = self._outages[kind] = self._looks.begin(self._provider.name)
            outage.since = began
        outage.failed(seen, ended := self._clock.monotonic(), known.poll_seconds)
        if not outage.over(ended):
            return None
        why = f"the provider did not answer for {ended - outage.since:.0f} s: {seen.reason}"
        return Fault(FaultClass.IN_DOUBT, why)

    def _heard(self, kind: str) -> None:
        """A read of this kind was answered, or no step waits for it; the next one has the full patience again."""
        self._looks.end(self._outages.pop(kind, None))

    async def _search(self, now: float) -> None:
        asked = dict(self._settles)
        by_token: dict[str, Observed] = {}
        for observed in sorted(await self._provider.find(self._run), key=lambda o: o.ref, reverse=True):
            if observed.needed_by is None and observed.state not in (ServerState.GONE, ServerState.STOPPING):
                by_token[observed.token] = observed
        for step, (command, token, until) in asked.items():
            found = by_token.get(token)
            if found is not None or now >= until:
                del self._settles[step]
                self._send(reports.SettleReport(step, command.attempt, found))

    async def _visit(self, now: float) -> None:
        waiting = dict(self._awaits)
        seen = await self._provider.describe([command.ref for command in waiting.values()])
        if (outage := self._outages.get("describe")) is not None:  # an outage is no time in which they could start
            lost = self._clock.monotonic() - outage.since
            waiting = {step: replace(command, deadline=command.deadline + lost) for step, command in waiting.items()}
            self._awaits.update(waiting)
        for step, command in waiting.items():
            self._look(step, command, seen[command.ref], now)

    def _look(self, step: int, command: effects.Await, seen: Observed, now: float) -> None:
        fault: Fault | None
        unseen = self._unseen(command.ref, seen, now)
        match seen.state:
            case ServerState.READY:
                fault = None
            case ServerState.BROKEN:
                fault = seen.fault or Fault(FaultClass.TRANSIENT, "the server started in a failed state")
            case ServerState.GONE | ServerState.STOPPING:
                fault = Fault(
                    FaultClass.CONFLICT, f"server {command.ref} is gone; something other than this run removed it"
                )
            case ServerState.NOT_VISIBLE if unseen:
                told = f"server {command.ref} has not been seen for {unseen:.0f} s: it is gone, or never started"
                fault = Fault(FaultClass.TRANSIENT, told)
            case _ if now >= command.deadline:
                fault = Fault(FaultClass.TIMEOUT, f"server {command.ref} was not ready in time ({seen.state})")
            case _:
                return
        del self._awaits[step]
        self._send(reports.ServerReport(step, command.attempt, command.ref, seen.address, fault))

    def _unseen(self, ref: str, seen: Observed, now: float) -> float:
        """For how long a server has not been seen at all, once that is no lag any more; else 0."""
        if seen.state is not ServerState.NOT_VISIBLE:
            self._missing.pop(ref, None)
            return 0.0
        known, since = self._provider.capabilities, self._missing.setdefault(ref, now)
        return now - since if now - since >= max(known.settle_seconds, UNSEEN_SECONDS) else 0.0

    def _give_up_settling(self, fault: Fault) -> None:
        for step, (command, _, _) in self._settles.items():
            self._send(reports.SettleReport(step, command.attempt, fault=fault))
        self._settles.clear()
        self._heard("find")

    def _give_up_waiting(self, fault: Fault, now: float) -> None:
        """Give up only the steps whose time is over; the others may still see their server."""
        for waiting in [waiting for waiting in self._awaits.values() if now >= waiting.deadline]:
            del self._awaits[waiting.step]
            self._send(reports.ServerReport(waiting.step, waiting.attempt, waiting.ref, fault=fault))
        if not self._awaits:
            self._heard("describe")
