"""The ports of one process, at whose calls faults are injected. It names each call as people do."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ParamSpec, Protocol, TypeVar

from msgspec.structs import replace

from batchwright.model import events as ev
from batchwright.operations.check import CheckRequest
from batchwright.rehearsal.death_recorder import DeathRecorder
from batchwright.rehearsal.fault_actions import DisturbedRun, PendingCall, injected
from batchwright.rehearsal.fault_menu import EFFECTS, RECORD
from batchwright.rehearsal.fault_spec import AFTER, BEFORE, Injection, PortCall
from batchwright.testing.crash_points import CrashPoint

T = TypeVar("T")
P = ParamSpec("P")

STORE = "store"
_OF_LEASES = ("acquire", "release")


class TooManyCalls(BaseException):
    """The run does not come to an end. Like ProcessDied, it must not be caught as an ordinary error."""


class ObservedRun(DisturbedRun, Protocol):
    """What a process needs to know of its run, and tells it; RehearsedRun has it."""

    count: int
    calls_most: int
    operations: dict[str, str]
    step_of_server: dict[str, str]
    step_of_install: dict[tuple[str, str], str]

    @property
    def is_disturbed(self) -> bool: ...
    def name_of(self, ref: str) -> str: ...
    def traced(self, process: int, call: PortCall) -> None: ...
    def watched(self, call: PortCall, port: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]: ...
    def fire(self, process: int, injection: Injection) -> None: ...
    def answered(self, outcome: object) -> object: ...


class InjectionPoint(CrashPoint):
    """One process. `observed` are its calls, if they are kept; `deaths` saves what it would leave if it died.

    `counts` are those of the calls of a process that goes on at its forward end, where `at_forward_end` is called.
    """

    def __init__(
        self,
        run: ObservedRun,
        injections: Sequence[Injection],
        *,
        observe: bool = False,
        deaths: DeathRecorder | None = None,
        counts: Counter[tuple[str, str]] | None = None,
        at_forward_end: Callable[[Counter[tuple[str, str]]], None] | None = None,
    ) -> None:
        super().__init__()
        self._run, self._deaths = run, deaths
        self._number = run.count + 1
        self._waiting = {(one.subject, one.verb, one.number): one for one in injections}
        self.observed: list[PortCall] | None = [] if observe else None
        self._states: dict[object, int] = {}  # numbers of what a process may leave behind
        self._changes = 0
        self._in_flight: dict[str, None] = {}  # calls that change something, in the order in which they began
        self.frozen: asyncio.Event | None = None  # set when the process runs again
        self.sent: list[str] = []  # changes that it asked for after it had been suspended
        self.goes_on = counts is not None
        self._counts: Counter[tuple[str, str]] = Counter(counts)
        self._made = self._counts.total()
        self._at_forward_end = at_forward_end
        self._phase = "recovery" if self._number > 1 else "forward"

    @property
    def count(self) -> int:
        return self._made

    async def guard(self, label: str, call: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Make one call of a port, with what is injected at it."""
        self.check()
        about = self._about(label, args)
        self._made += 1
        if self._made > self._run.calls_most:
            raise TooManyCalls(str(about))
        pending = PendingCall(about, self._run.watched(about, call), args, kwargs)
        if self.observed is not None:
            return await self._observed(self.observed, pending)  # type: ignore[no-any-return]
        return await self._answered(pending)  # type: ignore[no-any-return]

    async def _observed(self, observed: list[PortCall], call: PendingCall) -> Any:
        """The answer of a call, which is kept with the states before and after it."""
        about, place, before = call.about, len(observed), self._state()
        observed.append(about)
        changes = about.verb in EFFECTS or about.verb.startswith(RECORD) or about.verb in _OF_LEASES
        if changes:
            self._in_flight[str(about)] = None
            self._changes += 1
        try:
            return await self._answered(call)
        finally:
            if changes:
                del self._in_flight[str(about)]
                self._changes += 1
            observed[place] = replace(about, before=before, after=self._state())

    def _state(self) -> int:
        """The number of what the process would leave behind now."""
        return self._states.setdefault((self._changes, *self._in_flight), len(self._states) + 1)

    async def _answered(self, call: PendingCall) -> Any:
        about = call.about
        if self.frozen is not None and self.frozen.is_set() and about.verb in EFFECTS:
            self.sent.append(str(about))
        self._run.traced(self._number, about)
        injection = self._waiting.pop((about.subject, about.verb, about.number), None) if self._waiting else None
        try:
            answer: Any
            if injection is None and not self._run.is_disturbed:
                answer = await (call.send() if self._deaths is None else self._with_deaths(self._deaths, call))
            else:
                answer = await self._disturbed(injection, call)
        except Exception:
            self.check()  # a dead process sees no errors
            raise
        await self.thawed()
        if about.verb == "acquire" and self.frozen is not None:
            self.frozen = None  # from here on the run is its own again
        self.check()
        return answer

    async def _with_deaths(self, deaths: DeathRecorder, call: PendingCall) -> Any:
        """The answer of a call on both sides of which the process might die; it ends with the last of these deaths."""
        deaths.passes(self._run, call.about, BEFORE)
        try:
            return await call.send()
        finally:
            deaths.passes(self._run, call.about, AFTER)
            if deaths.is_over:
                self.die()

    def forward_ended(self) -> None:
        """What is run has run, and is now rolled back."""
        if self._at_forward_end is not None:
            self._at_forward_end(self._counts)
            self.die()

    async def thawed(self) -> None:
        """Wait while the process is suspended."""
        if self.frozen is not None:
            await self.frozen.wait()

    async def _disturbed(self, injection: Injection | None, call: PendingCall) -> Any:
        if injection is None:
            return await injected(self._run, self, "", call)
        self._run.fire(self._number, injection)
        if injection.fault == BEFORE:
            self.die()
        if injection.fault == AFTER:
            try:
                await call.send()
            finally:
                self.die()
        return self._run.answered(await injected(self._run, self, injection.fault, call))

    # -- the name of a call -----------------------------------------------------------------------------------------

    def _about(self, label: str, args: Sequence[Any]) -> PortCall:
        subject, verb, operation, provider, detail = self._named(label, args)
        number = self._counts[subject, verb] = self._counts[subject, verb] + 1
        alike = f"{self._phase}/{operation or subject}/{verb}/{detail}/{min(number, 3)}"
        return PortCall(subject, verb, number, operation, provider, detail if verb == "probe" else "", alike)

    def _named(self, label: str, args: Sequence[Any]) -> tuple[str, str, str, str, str]:
        """Subject, verb, operation, provider, and what else tells it from calls that are alike."""
        run = self._run
        first, _, rest = label.partition(" ")
        owner, _, verb = first.partition(".")
        if owner == "journal":
            if verb in ("append", "create"):
                return self._recorded(args[2] if verb == "append" else args[:1])
            return STORE, verb, "", "", ""
        if verb:
            if verb in ("create", "destroy", "change"):
                name = rest if verb == "create" else run.name_of(rest)
                step = run.step_of_server.get(name, rest)
                return step, verb, run.operations.get(step, ""), owner, ""
            return owner, verb, "", owner, _listing(args) if verb == "find" else ""
        if first in ("run", "undo"):
            launch = args[1]
            verb = "unless" if launch.only_unless else first
            return launch.step, verb, run.operations.get(launch.step, ""), "", ""
        if label.startswith(("look at ", "look for ")):
            _, kind, step = label.split(" ", 2)
            verb, what = ("probe", _looked_at(args[0])) if kind == "at" else ("look", "")
            return step, verb, run.operations.get(step, ""), "", what
        request, target = (None, args[0]) if len(args) == 1 else args[:2]
        name = getattr(request, "name", "")
        step = run.step_of_install.get((target.name, name), f"{target.name}/{name}".rstrip("/"))
        verb = first if request is not None else "installed"
        return step, verb, run.operations.get(step, ""), target.provider, name

    def _recorded(self, events: Sequence[Any]) -> tuple[str, str, str, str, str]:
        """An append is named after the first step that it is about, and after its kinds of events."""
        kinds = list(dict.fromkeys(type(event).__name__ for event in events))
        for event in events:
            match event:
                case ev.RollbackStarted():
                    self._phase = "rollback" if self._phase == "forward" else f"{self._phase}, rollback"
                case ev.SweepStarted():
                    self._phase = f"{self._phase.removesuffix(', sweep')}, sweep"
        step = next((one for event in events if (one := getattr(event, "step", ""))), "")
        words = "+".join(kinds[:2]) + ("+..." if len(kinds) > 2 else "")
        verb = f"{RECORD} {words or 'summary'}"
        return step or STORE, verb, self._run.operations.get(step, ""), "", ""


def _listing(args: Sequence[Any]) -> str:
    """Which listing of an account is asked for: that of a token, of a run, or of all."""
    run, token = (*args, None, None)[:2]
    return "token" if token else "run" if run else "all"


def _looked_at(request: CheckRequest) -> str:
    """What a check looks at."""
    if request.http is None:
        return "program" if request.tcp is None else "tcp"
    return "http body" if request.http.contains else "http"
