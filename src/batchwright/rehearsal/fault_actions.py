"""What each fault does to the call at which it is injected, and to later ones."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct

from batchwright.errors import EnvironmentBusy, ProviderUnavailable, StoreFull
from batchwright.journal.lease_holder import LEASE_SECONDS
from batchwright.model.call_outcome import CheckResult, Created, Observed, Rejected, ServerState, Unknown
from batchwright.model.fault import Fault, FaultClass
from batchwright.providers.simulated import SimulatedServer
from batchwright.rehearsal.fault_menu import RECORD
from batchwright.rehearsal.fault_spec import PortCall
from batchwright.testing.virtual_clock import VirtualClock

LATE_MOST = 60.0  # seconds
LINES, LINE = 5_000, "x" * 400  # of a flood of output
JUMP = 3600.0  # seconds that a clock is set forward, or back
FULL_TIMES = 3  # that a write finds the disk full
LONG = 86_400.0  # seconds that a call takes which never ends by itself
_SEEN = {"wrong_status": "HTTP 500, which is not what is asked for", "wrong_body": "the text is not in its body"}
LOST = Unknown("the connection was lost before an answer came")
_READS = ("find", "describe", "access", "account", "health")


class PendingCall(Struct, frozen=True):
    """A call of a port that was not sent yet."""

    about: PortCall
    port: Callable[..., Awaitable[Any]]
    args: Sequence[Any]
    kwargs: Mapping[str, Any]

    async def send(self) -> Any:
        """The answer of the simulated world."""
        return await self.port(*self.args, **self.kwargs)


class StandingFault(Struct, frozen=True):
    """A fault that lasts until a person mends it: it refuses the `verbs` of a step, a zone or a provider."""

    fault: str
    verbs: tuple[str, ...]
    step: str = ""
    provider: str = ""
    zone: str = ""

    def hits(self, call: PendingCall) -> bool:
        """Whether it refuses this call."""
        about = call.about
        if about.verb not in self.verbs or self.step not in ("", about.subject):
            return False
        if self.provider not in ("", about.provider):
            return False
        return not self.zone or call.args[0].zone == self.zone

    def refuse(self, call: PendingCall) -> Any:
        """The answer. Raises ProviderUnavailable for a read."""
        if call.about.verb in _READS:
            raise ProviderUnavailable("the credentials were refused", hint="Renew them.", passing=False)
        if call.about.verb == "probe":
            return CheckResult("check", False, _SEEN.get(self.fault, "it does not answer"))
        return _rejected(FaultClass(self.fault))


class SuspendedProcess(Protocol):
    """The process that makes a call; `frozen` is set once it runs again, None if it never was suspended."""

    frozen: asyncio.Event | None


class DisturbedRun(Protocol):
    """What faults need to know of a run, and do to it; RehearsedRun has it."""

    clock: VirtualClock
    standing: list[StandingFault]
    full_writes: int

    def settle_seconds(self, provider: str) -> float: ...
    def visible_seconds(self, provider: str) -> float: ...
    def server_of(self, outcome: object) -> SimulatedServer | None: ...
    def is_younger(self, ref: str, seconds: float) -> bool: ...
    def destroy_by_hand(self, ref: str) -> None: ...
    def started(self, step: str, *, undo: bool) -> None: ...
    async def has_turn(self) -> bool: ...
    async def begin_another(self) -> None: ...
    def note_second_turn(self) -> None: ...
    def suspend(self, point: SuspendedProcess, seconds: float) -> None: ...


def _rejected(kind: FaultClass, retry_after: float | None = None) -> Rejected:
    return Rejected(Fault(kind, f"rehearsed: {kind}", code=f"REHEARSED_{kind.upper()}", retry_after=retry_after))


async def injected(run: DisturbedRun, point: SuspendedProcess, fault: str, call: PendingCall) -> Any:
    """The answer to a call with this fault, or with the faults that last; "" for no fault of its own."""
    effect = _EFFECTS.get(fault)
    if effect is not None:
        return await effect(run, point, call)
    standing = _standing(fault, call)
    if standing is not None:
        run.standing.append(standing)
    for one in run.standing:
        if one.hits(call):
            return one.refuse(call)
    if run.full_writes and call.about.verb.startswith(RECORD):
        run.full_writes -= 1
        raise StoreFull("the disk is full")
    return await call.send()


def _standing(fault: str, call: PendingCall) -> StandingFault | None:
    about = call.about
    match fault:
        case "capacity":
            return StandingFault(fault, ("create",), provider=about.provider, zone=call.args[0].zone)
        case "quota":
            return StandingFault(fault, ("create",), provider=about.provider)
        case "auth":
            verbs = "create", "destroy", "change", *_READS
            return StandingFault(fault, verbs, provider=about.provider)
        case "exit" | "wrong_status" | "wrong_body":
            return StandingFault(fault, (about.verb,), step=about.subject)
    return None


async def _lost_answers(_run: DisturbedRun, _point: SuspendedProcess, call: PendingCall) -> Any:
    await call.send()
    return LOST


async def _late_commits(run: DisturbedRun, _point: SuspendedProcess, call: PendingCall) -> Any:
    outcome = await call.send()
    server = run.server_of(outcome)
    if server is None:
        return outcome
    late = min(LATE_MOST, run.settle_seconds(call.about.provider) / 2)
    server.committed_at += late
    server.visible_at += late
    server.ready_at = None if server.ready_at is None else server.ready_at + late
    return LOST


async def _list_lag(run: DisturbedRun, _point: SuspendedProcess, call: PendingCall) -> Any:
    outcome, lag = await call.send(), 0.9 * run.visible_seconds(call.about.provider)
    if isinstance(outcome, list):
        return [one for one in outcome if not run.is_younger(one.ref, lag)]
    if isinstance(outcome, dict):
        hidden = {ref: Observed(ref, ServerState.NOT_VISIBLE) for ref in outcome if run.is_younger(ref, lag)}
        return {**outcome, **hidden}
    server = run.server_of(outcome)
    if server is not None:
        server.visible_at += lag
        return Created(server.ref)
    return outcome


async def _transient(_run: DisturbedRun, _point: SuspendedProcess, call: PendingCall) -> Any:
    if call.about.verb in _READS:
        raise ProviderUnavailable("503 Service Unavailable", hint="Try again.", passing=True)
    if call.about.verb == "probe":
        return CheckResult("check", False, "it does not answer yet")
    return _rejected(FaultClass.TRANSIENT)


async def _throttle(_run: DisturbedRun, _point: SuspendedProcess, _call: PendingCall) -> Any:
    return _rejected(FaultClass.THROTTLE, 5.0)


async def _never_ready(run: DisturbedRun, _point: SuspendedProcess, call: PendingCall) -> Any:
    outcome = await call.send()
    server = run.server_of(outcome)
    if server is None:
        return outcome
    server.ready_at = None
    return Created(server.ref)


async def _vanishes(run: DisturbedRun, _point: SuspendedProcess, call: PendingCall) -> Any:
    """Somebody destroys the server in the console: as soon as it is created, or before something is installed."""
    if call.about.verb == "create":
        outcome = await call.send()
        run.destroy_by_hand(getattr(outcome, "ref", ""))
        return Created(outcome.ref) if isinstance(outcome, Created) else outcome
    run.destroy_by_hand(call.args[1].ref)
    return await call.send()


async def _timeout(run: DisturbedRun, _point: SuspendedProcess, call: PendingCall) -> Any:
    if call.about.verb == "probe":
        standing = StandingFault("transient", ("probe",), step=call.about.subject)
        run.standing.append(standing)
        return standing.refuse(call)
    if call.about.verb in ("run", "undo"):
        run.started(call.about.subject, undo=call.about.verb == "undo")
    await asyncio.sleep(LONG)
    return LOST


async def _output_flood(_run: DisturbedRun, _point: SuspendedProcess, call: PendingCall) -> Any:
    told = getattr(call.args[-1], "tell", None)
    if told is not None:
        for _ in range(LINES):
            told(LINE)
    return await call.send()


async def _clock_jump(run: DisturbedRun, _point: SuspendedProcess, call: PendingCall) -> Any:
    run.clock.epoch += JUMP if call.about.number % 2 else -JUMP
    return await call.send()


async def _full_disk(run: DisturbedRun, _point: SuspendedProcess, _call: PendingCall) -> Any:
    run.full_writes = FULL_TIMES - 1
    raise StoreFull("the disk is full")


async def _second_change(run: DisturbedRun, _point: SuspendedProcess, call: PendingCall) -> Any:
    """Somebody else begins to change the environment: that must be refused while this run has its turn."""
    if await run.has_turn():
        try:
            await run.begin_another()
        except EnvironmentBusy:
            pass
        else:
            run.note_second_turn()
    return await call.send()


async def _second_driver(run: DisturbedRun, point: SuspendedProcess, call: PendingCall) -> Any:
    """The process is suspended after this call for so long that another one takes the run over, and then goes on."""
    answer = await call.send()
    point.frozen = asyncio.Event()
    run.suspend(point, LEASE_SECONDS * 2)
    return answer


_EFFECTS = {
    "lost_answers": _lost_answers,
    "late_commits": _late_commits,
    "list_lag": _list_lag,
    "transient": _transient,
    "throttle": _throttle,
    "never_ready": _never_ready,
    "vanishes": _vanishes,
    "timeout": _timeout,
    "output_flood": _output_flood,
    "clock_jump": _clock_jump,
    "full_disk": _full_disk,
    "second_change": _second_change,
    "second_driver": _second_driver,
}
