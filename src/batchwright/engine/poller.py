"""Polls a provider for many steps at once: one listing per tick, however many servers there are."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection, Coroutine
from typing import Any

from msgspec import Struct

from batchwright.engine import duplicate_server_resolution, effects, reports
from batchwright.engine.port_calls import answer
from batchwright.engine.read_retry import Outage, ReadRetry
from batchwright.model.call_outcome import Observed, ServerState, Unknown
from batchwright.model.clock import Clock
from batchwright.model.fault import Fault, FaultClass
from batchwright.providers.base import Provider

UNSEEN_SECONDS = 60.0  # for which a server that was made may not be seen, at least

Send = Callable[[reports.Report], None]
Fail = Callable[[BaseException], None]


class AccountServers(Struct, frozen=True):
    """Everything that Batchwright created in an account, as a complete listing that began at this time shows it."""

    began: float
    by_name: dict[str, list[Observed]] | Unknown  # Unknown: the listing failed, and shows nothing


class AccountListing:
    """The newest listing of an account, shared by all steps that ask at about the same time."""

    def __init__(self, provider: Provider, clock: Clock) -> None:
        self._provider = provider
        self._clock = clock
        self._newest: AccountServers | None = None
        self._turn = asyncio.Lock()

    async def since(self, oldest: float, waited: Callable[[float], None] = lambda _: None) -> AccountServers:
        """A listing that began at `oldest` (seconds since the epoch) or later: the newest one, or a new one.

        `waited` is told how many seconds a new one took, and nothing by those who share it.
        """
        async with self._turn:
            if self._newest is None or self._newest.began < oldest:
                began = self._clock.now()
                found = await answer(self._provider.capabilities.call_timeout, self._provider.find())
                self._newest = AccountServers(began, found if isinstance(found, Unknown) else _by_name(found))
                waited(self._clock.now() - began)
            return self._newest


def _by_name(found: list[Observed]) -> dict[str, list[Observed]]:
    by_name: dict[str, list[Observed]] = {}
    for one in found:
        by_name.setdefault(one.name, []).append(one)
    return by_name


class Watched(Struct):
    """A server that is waited for. Times are seconds since the epoch.

    `known`: when this process learned its reference; `clear`: it may be used once it is ready; `contested`: when it was
    first seen that other runs created servers of its name.
    """

    command: effects.Await
    deadline: float
    known: float
    clear: bool
    contested: float | None = None


class Poller:
    """Polls one provider for one run: for servers that are not ready or not clear, and for calls in doubt, by token.

    `known` are the servers that the run's plan knows, which are nobody's twins.
    """

    def __init__(
        self,
        provider: Provider,
        run: str,
        clock: Clock,
        looks: ReadRetry,
        send: Send,
        fail: Fail,
        known: Collection[str] = (),
    ) -> None:
        self._provider = provider
        self._run = run
        self._clock = clock
        self._looks = looks
        self._send = send
        self._fail = fail
        self._known = known
        self._listing = AccountListing(provider, clock)
        self._awaits: dict[int, Watched] = {}
        self._looked_at = 0.0  # when the newest look for twins began
        self._missing: dict[str, float] = {}  # servers that are waited for and not seen: since when
        self._settles: dict[int, tuple[effects.Settle, str, float]] = {}
        self._outages: dict[str, Outage] = {}  # by kind of look
        self._task: asyncio.Task[None] | None = None

    async def twins_of(self, name: str, age: float, waited: Callable[[float], None]) -> tuple[Observed, ...]:
        """The twins of a server that is to be created, by a listing that is no older than `age` seconds.

        A listing that failed shows none: a twin that is not seen now is seen by the clear look. `waited` is told how
        many seconds a listing took that was begun for this.
        """
        listing = await self._listing.since(self._clock.now() - age, waited)
        if isinstance(listing.by_name, Unknown):
            return ()
        return duplicate_server_resolution.of(self._run, self._known, listing.by_name.get(name, ()))

    def wait_for(self, command: effects.Await) -> None:
        """Report when the server is ready and clear, broken, gone, or late, or has to give way to a twin."""
        known, clear = self._clock.now(), command.clear_look is None
        self._awaits[command.step] = Watched(command, command.deadline, known, clear)
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
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _loop(self) -> None:
        poll = self._provider.capabilities.poll_seconds
        while self._awaits or self._settles:
            now = self._clock.now()
            if self._settles and (fault := await self._patiently("find", self._search, now)):
                self._give_up_settling(fault)
            if self._may_look(now) and (fault := await self._patiently("twins", self._look_for_twins, now)):
                self._give_up_waiting("twins", fault, now)
            if self._awaits and (fault := await self._patiently("describe", self._visit, now)):
                self._give_up_waiting("describe", fault, now)
            if self._awaits or self._settles:
                await self._clock.sleep(poll)
        self._heard("twins")

    async def _patiently(
        self, kind: str, look: Callable[[float], Coroutine[Any, Any, Unknown | None]], now: float
    ) -> Fault | None:
        """Look, unless it is too early. A failed look says nothing; only after too many this gives the reason."""
        outage, began = self._outages.get(kind), self._clock.monotonic()
        if outage is not None and began < outage.again_at:
            return None
        known = self._provider.capabilities
        seen = await answer(known.call_timeout, look(now))
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

    def _may_look(self, now: float) -> bool:
        """Whether a look for twins counts for a server if it begins now, and the last one was not only just now."""
        looks = [one.command.clear_look for one in self._due(now)]
        pause = max((look.visible_seconds / 4 for look in looks if look is not None), default=math.inf)
        return now >= self._looked_at + max(self._provider.capabilities.poll_seconds, pause)

    def _due(self, now: float) -> list[Watched]:
        return [
            one
            for one in self._awaits.values()
            if not one.clear
            and one.command.clear_look is not None
            and now >= one.known + one.command.clear_look.visible_seconds
        ]

    async def _look_for_twins(self, now: float) -> Unknown | None:
        self._looked_at = now
        due = self._due(now)
        listing = await self._listing.since(now)
        if isinstance(listing.by_name, Unknown):
            return listing.by_name
        for one in due:
            command, look = one.command, one.command.clear_look
            assert look is not None
            found = duplicate_server_resolution.of(self._run, self._known, listing.by_name.get(look.name, ()))
            one.clear = not found
            if found and self._awaits.get(command.step) is one:
                one.contested = now if one.contested is None else one.contested
                if duplicate_server_resolution.gives_way(look, found, now - one.contested):
                    del self._awaits[command.step]
                    self._send(
                        reports.TwinReport(command.step, command.attempt, command.ref, found, now - one.contested)
                    )
        return None

    async def _visit(self, now: float) -> None:
        waiting = dict(self._awaits)
        seen = await self._provider.describe([one.command.ref for one in waiting.values()])
        if (outage := self._outages.get("describe")) is not None:  # an outage is no time in which they could start
            for one in waiting.values():
                one.deadline += self._clock.monotonic() - outage.since
        for step, one in waiting.items():
            self._look(step, one, seen[one.command.ref], now)

    def _look(self, step: int, waiting: Watched, seen: Observed, now: float) -> None:
        fault: Fault | None
        command = waiting.command
        unseen = self._unseen(command.ref, seen, now)
        match seen.state:
            case ServerState.READY if not waiting.clear:
                return
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
            case _ if now >= waiting.deadline:
                fault = Fault(FaultClass.TIMEOUT, f"server {command.ref} was not ready in time ({seen.state})")
            case _:
                return
        del self._awaits[step]
        clear = fault is None and waiting.clear and command.clear_look is not None
        found = reports.ServerReport(step, command.attempt, command.ref, seen.address, fault, clear, seen.host_keys)
        self._send(found)

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

    def _give_up_waiting(self, kind: str, fault: Fault, now: float) -> None:
        """Give up only the steps whose time is over; the others may still see their server."""
        for one in [
            one for one in self._awaits.values() if now >= one.deadline and not (kind == "twins" and one.clear)
        ]:
            command = one.command
            del self._awaits[command.step]
            self._send(reports.ServerReport(command.step, command.attempt, command.ref, fault=fault))
        if not self._awaits:
            self._heard(kind)
