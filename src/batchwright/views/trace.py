"""A run as a trace: the projection of its journal to spans, each given when the event that ends it is applied.

A phase (the run, its resumption, its rollback) has the steps below it, and a step the calls to its provider. Every id
is made from the run, the step and the attempt, so that projecting a journal twice gives the same spans.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct, field

from batchwright.model import events as ev
from batchwright.model.fault import Fault
from batchwright.model.lifecycle import RunState
from batchwright.model.plan import Step
from batchwright.model.scalar import Scalar
from batchwright.model.trace_ids import span_id, step_span_id, trace_id
from batchwright.views.text_format import one_line

RESULTS = {
    RunState.COMPLETED: "success",
    RunState.FAILED: "failure",
    RunState.CANCELLED: "cancellation",
    RunState.ROLLED_BACK: "success",
    RunState.ROLLBACK_INCOMPLETE: "failure",
}  # values of cicd.pipeline.result, of OpenTelemetry's semantic conventions


class SpanEvent(Struct, frozen=True):
    """Something that happened during a span. `at` is in seconds since the epoch."""

    name: str
    at: float
    attributes: dict[str, Scalar] = {}


class Span(Struct, frozen=True):
    """One span that has ended. `ok` is None if it ended neither well nor badly; `error` says what was wrong."""

    trace: str
    id: str
    parent: str  # the id of the span above, "" for the run's own
    name: str
    begin: float
    end: float
    attributes: dict[str, Scalar]
    events: tuple[SpanEvent, ...] = ()
    ok: bool | None = True
    error: str = ""


class _Open(Struct):
    """A span that has not ended."""

    id: str
    parent: str
    name: str
    begin: float
    attributes: dict[str, Scalar]
    events: list[SpanEvent] = field(default_factory=list)


class TraceProjection:
    """Folds the events of one run, from the first, into spans.

    >>> from batchwright.model.plan import Plan
    >>> projection = TraceProjection()
    >>> _ = projection.apply(ev.RunCreated(at=1.0, run="r", plan=Plan(workflow="shop", version="1")))
    >>> [(span.name, span.end) for span in projection.apply(ev.RunEnded(at=3.0, status=RunState.COMPLETED))]
    [('run shop', 3.0)]
    """

    def __init__(self) -> None:
        self._run = ""
        self._steps: dict[str, Step] = {}
        self._workflow: dict[str, Scalar] = {}
        self._phase: _Open | None = None
        self._phases = 0
        self._first = ""  # the id of the run's own span
        self._open: dict[str, _Open] = {}  # by step
        self._calls: dict[str, _Open] = {}  # by step
        self._sweeps: dict[str, _Open] = {}  # by lane
        self._taken_up: dict[tuple[str, bool], int] = {}  # a step, or its undoing: how often again
        self._swept_before: dict[str, int] = {}  # by lane

    def apply(self, event: ev.AnyEvent) -> list[Span]:
        """The spans that this event ends, those below before those above."""
        match event:
            case ev.RunCreated():
                self._created(event)
            case ev.RunReopened() | ev.RollbackStarted():
                return self._next_phase(event)
            case ev.RunEnded() | ev.RollbackEnded():
                return self._phase_ended(event)
            case ev.SweepStarted() | ev.SweepEnded() | ev.OrphanFound():
                return self._swept(event)
            case ev.DriverStarted():
                self._mark("driver started", event.at, driver=event.driver, fence=event.fence)
            case ev.RunPaused() | ev.RunResumed() | ev.CancelRequested():
                self._mark(event.__struct_config__.tag.replace("_", " "), event.at, by=event.by)  # type: ignore[union-attr]
            case ev.StepStarted() | ev.UndoStarted() | ev.HoldAsked():
                self._begun(event)
            case _:
                return self._step_went_on(event)
        return []

    # -- phases -----------------------------------------------------------------------------------------------------

    def _created(self, event: ev.RunCreated) -> None:
        plan = event.plan
        self._run = event.run
        self._steps = {step.id: step for step in plan.steps}
        self._workflow = {
            "cicd.pipeline.name": plan.workflow,
            "cicd.pipeline.run.id": event.run,
            "batchwright.version": plan.version,
            "batchwright.environment": plan.environment,
            "batchwright.simulated": plan.simulation is not None,
        }
        self._first = span_id(event.run, "phase", 0)
        self._phase = _Open(self._first, "", f"run {plan.workflow}", event.at, dict(self._workflow))

    def _next_phase(self, event: ev.RunReopened | ev.RollbackStarted) -> list[Span]:
        ended = self._phase_over(event.at, None) if self._phase is not None else []
        self._phases += 1
        word = "resume" if isinstance(event, ev.RunReopened) else "rollback"
        name = f"{word} {self._workflow.get('cicd.pipeline.name', '')}"
        here = span_id(self._run, "phase", self._phases)
        self._phase = _Open(here, self._first, name, event.at, dict(self._workflow))
        self._mark(word, event.at, by=event.by)
        return ended

    def _phase_ended(self, event: ev.RunEnded | ev.RollbackEnded) -> list[Span]:
        if self._phase is not None:
            self._phase.attributes["cicd.pipeline.result"] = RESULTS[event.status]
        return self._phase_over(event.at, RESULTS[event.status])

    def _phase_over(self, at: float, result: str | None) -> list[Span]:
        """End the phase, and what is open below it: calls that a forced cancel did not wait for."""
        ended = [self._ended(self._calls.pop(step), at, None) for step in list(self._calls)]
        ended += [self._ended(self._open.pop(step), at, None) for step in list(self._open)]
        ended += [self._ended(self._sweeps.pop(lane), at, None) for lane in list(self._sweeps)]
        phase, self._phase = self._phase, None
        if phase is not None:
            ok = {"success": True, "failure": False}.get(result or "")
            ended.append(self._ended(phase, at, ok, "the run failed" if ok is False else ""))
        return ended

    def _mark(self, name: str, at: float, **attributes: Scalar) -> None:
        if self._phase is not None:
            told = {f"batchwright.{key}": value for key, value in attributes.items() if value not in ("", None)}
            self._phase.events.append(SpanEvent(name, at, told))

    def _swept(self, event: ev.SweepStarted | ev.SweepEnded | ev.OrphanFound) -> list[Span]:
        lane = event.lane
        if isinstance(event, ev.SweepStarted):
            number = self._swept_before[lane] = self._swept_before.get(lane, -1) + 1
            attributes: dict[str, Scalar] = {"batchwright.lane": lane}
            here = span_id(self._run, "sweep", lane, number)
            self._sweeps[lane] = _Open(here, self._above(), f"sweep {lane}", event.at, attributes)
            return []
        sweep = self._sweeps.get(lane)
        if sweep is None:
            return []
        if isinstance(event, ev.OrphanFound):
            sweep.events.append(SpanEvent("found", event.at, {"batchwright.ref": event.ref}))
            return []
        del self._sweeps[lane]
        return [self._ended(sweep, event.at, event.fault is None, _words(event.fault))]

    # -- steps and calls --------------------------------------------------------------------------------------------

    def _begun(self, event: ev.StepStarted | ev.UndoStarted | ev.HoldAsked) -> None:
        undo = isinstance(event, ev.UndoStarted)
        step = self._steps[event.step]
        if event.step not in self._open:
            again = self._taken_up[event.step, undo] = self._taken_up.get((event.step, undo), -1) + 1
            here = step_span_id(self._run, event.step, undo=undo, again=again)
            attributes: dict[str, Scalar] = {
                "cicd.pipeline.task.name": event.step,
                "cicd.pipeline.task.run.id": f"{self._run}/{event.step}",
                "batchwright.operation": step.operation,
                "batchwright.action": "undo" if undo else step.action.value,
            }
            if step.provider:
                attributes["batchwright.provider"] = step.provider
            verb = "undo " if undo else ""
            self._open[event.step] = _Open(here, self._above(), verb + event.step, event.at, attributes)
        if isinstance(event, ev.HoldAsked):
            return
        above = self._open[event.step]
        number = event.attempt
        here = span_id(self._run, event.step, "undo-call" if undo else "call", number)
        name = f"{above.attributes['batchwright.action']} {event.step}"
        told: dict[str, Scalar] = {"batchwright.attempt": number, "batchwright.step": event.step}
        self._calls[event.step] = _Open(here, above.id, name, event.at, told)

    def _step_went_on(self, event: ev.AnyEvent) -> list[Span]:
        match event:
            case ev.StepInDoubt():
                self._note(event.step, SpanEvent("in doubt", event.at, {"batchwright.reason": event.reason}))
            case ev.StepCreated():
                self._note(event.step, SpanEvent("created", event.at, {"batchwright.ref": event.ref}))
            case ev.HoldAnswered():
                answer = "yes" if event.yes else "no"
                self._note(event.step, SpanEvent("answered", event.at, {"batchwright.answer": answer}))
            case ev.StepRetrying() | ev.UndoRetrying():
                return self._call_over(event.step, event.at, _words(event.fault), event.fault)
            case ev.StepMoved():
                return self._call_over(event.step, event.at, "another place")
            case ev.StepSucceeded() | ev.StepUndone() | ev.HoldGranted() | ev.HoldPassed():
                return self._step_over(event.step, event.at, None)
            case ev.StepFailed() | ev.UndoFailed() | ev.HoldRefused() | ev.HoldExpired():
                return self._step_over(event.step, event.at, event.fault)
        return []

    def _note(self, step: str, event: SpanEvent) -> None:
        span = self._calls.get(step) or self._open.get(step)
        if span is not None:
            span.events.append(event)

    def _call_over(self, step: str, at: float, error: str, fault: Fault | None = None) -> list[Span]:
        call = self._calls.pop(step, None)
        if call is None:
            return []
        if fault is not None:
            call.attributes["error.type"] = fault.code
        return [self._ended(call, at, not error, error)]

    def _step_over(self, step: str, at: float, fault: Fault | None) -> list[Span]:
        ended = self._call_over(step, at, _words(fault), fault)
        span = self._open.pop(step, None)
        if span is None:  # what another step did or undid with it: nothing was called
            return ended
        span.attributes["cicd.pipeline.task.run.result"] = "success" if fault is None else "failure"
        if fault is not None:
            span.attributes["error.type"] = fault.code
        return [*ended, self._ended(span, at, fault is None, _words(fault))]

    def _above(self) -> str:
        return self._phase.id if self._phase is not None else self._first

    def _ended(self, span: _Open, at: float, ok: bool | None, error: str = "") -> Span:
        return Span(
            trace_id(self._run),
            span.id,
            span.parent,
            span.name,
            span.begin,
            max(at, span.begin),
            span.attributes,
            tuple(span.events),
            ok,
            error,
        )


def spans_of(events: Iterable[tuple[int, ev.AnyEvent]], after: int = 0) -> Iterator[tuple[int, Span]]:
    """Every span that an event with a number above `after` ends, with that number. `events` begin with the first."""
    projection = TraceProjection()
    for seq, event in events:
        for span in projection.apply(event):
            if seq > after:
                yield seq, span


def _words(fault: Fault | None) -> str:
    return one_line(fault.message) or fault.code if fault is not None else ""
