"""Single steps in words: their state, the servers of a run, and failures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from msgspec import Struct

from batchwright.errors import StepNotFound
from batchwright.model.did_you_mean import close_matches
from batchwright.model.lifecycle import RunState, StepState
from batchwright.model.plan import Request, Step
from batchwright.model.run import Run
from batchwright.model.run_fold_state import StepFoldState
from batchwright.operations.base import PortKind
from batchwright.operations.registry import type_of
from batchwright.views.text_format import some
from batchwright.views.wait_reasons import twin_reason, unclear_seconds

ROLLBACK = frozenset({RunState.ROLLING_BACK, RunState.ROLLED_BACK, RunState.ROLLBACK_INCOMPLETE})
REASONS_MAX = 10
NAMES_COMPARED = 5000  # step ids that a misspelt one is compared with


class StepLine(Struct, frozen=True):
    """One step now. `since` is seconds since its last attempt began; `took` is seconds from its start to its end."""

    step: str
    operation: str
    provider: str
    state: StepState
    doing: str
    attempt: int
    since: float | None = None
    took: float | None = None
    ref: str = ""
    address: str = ""
    message: str = ""
    doubt: bool = False
    said: str = ""  # the last line of its output, while it is in flight


class FailedStep(Struct, frozen=True):
    """A step that failed, or whose undo failed, and why."""

    step: str
    operation: str
    provider: str
    kind: str
    message: str
    code: str = ""
    hint: str = ""
    attempts: int = 0
    ref: str = ""


class ServerLine(Struct, frozen=True):
    """A server that exists according to the journal. `made` is false if it existed before the run."""

    name: str
    step: str
    provider: str
    ref: str
    address: str
    zone: str
    plan: str
    made: bool
    ready: bool


def doing(run: Run, i: int, now: float) -> str:
    """What is happening to a step now, in words."""
    step = run.steps[i]
    left = unclear_seconds(run, i, now)
    if left and now - run.records[i].known_at >= step.seconds:
        return twin_reason(step.request.name, left)
    return type_of(step).doing(step, run.records[i])


def step_line(run: Run, i: int, now: float) -> StepLine:
    """The current state of one step."""
    step, record = run.steps[i], run.records[i]
    flying = i in run.in_flight
    message = record.reason or (record.fault.message if record.fault else "")
    return StepLine(
        step=step.id,
        operation=step.operation,
        provider=step.provider,
        state=record.state,
        doing=doing(run, i, now),
        attempt=record.undo_attempt if record.state is StepState.UNDOING else record.attempt,
        since=max(0.0, now - record.attempt_at) if flying else None,
        took=record.ended_at - record.started_at if record.ended_at and record.started_at else None,
        ref=record.ref,
        address=record.address,
        message=message,
        doubt=record.doubt,
        said=record.said if flying else "",
    )


def step_lines(run: Run, now: float) -> tuple[StepLine, ...]:
    """The current state of all steps, in plan order."""
    return tuple(step_line(run, i, now) for i in range(len(run.records)))


def number_in(run: Run, *states: StepState) -> int:
    """How many steps are in one of these states, with the gates of waves, which are not among the counted ones."""
    gates = sum(run.records[i].state in states for gates in run.gates for i in gates)
    return run.count(*states) + gates


def indices_in(run: Run, states: Iterable[StepState], most: int) -> list[int]:
    """The first steps in one of these states, `most` at most."""
    wanted = frozenset(states)
    count = min(most, number_in(run, *wanted))
    return list(islice((i for i, record in enumerate(run.records) if record.state in wanted), count))


def failed_steps(run: Run, most: int) -> tuple[FailedStep, ...]:
    """The first steps that failed or, in a rollback, could not be undone."""
    return tuple(_failed(run, i) for i in indices_in(run, (failed_state(run),), most))


def failed_state(run: Run) -> StepState:
    """The state that counts as failed. In a rollback only failed undos count."""
    return StepState.UNDO_FAILED if run.status in ROLLBACK else StepState.FAILED


def _failed(run: Run, i: int) -> FailedStep:
    step, record = run.steps[i], run.records[i]
    fault = record.fault
    assert fault is not None  # both states come with a fault
    attempts = record.undo_attempt if record.state is StepState.UNDO_FAILED else record.attempt
    return FailedStep(
        step.id, step.operation, step.provider, fault.kind, fault.message, fault.code, fault.hint, attempts, record.ref
    )


class StepsByReason(Struct, frozen=True):
    """How many steps did not run for one reason."""

    reason: str
    steps: int


def steps_by_reason(run: Run, state: StepState) -> tuple[StepsByReason, ...]:
    """Why steps were skipped, or are not wanted; the reason with the most steps first."""
    there = indices_in(run, (state,), len(run.records))
    tally = Counter(run.records[i].reason for i in there if run.plan.steps[i].counted)
    return tuple(StepsByReason(reason, steps) for reason, steps in tally.most_common(REASONS_MAX))


def servers(run: Run, most: int) -> tuple[tuple[ServerLine, ...], int]:
    """The first `most` servers that exist, those the run made first, and how many more there are."""
    steps = zip(run.steps, run.records, strict=True)
    gone = {step.ref for step, record in steps if step.traits.removes and record.state is StepState.SUCCEEDED}
    found = (one for made in (True, False) for one in _existing(run, made=made) if one.ref not in gone)
    shown = tuple(islice(found, most))
    return shown, sum(1 for _ in found)


_EXISTS = (StepState.CREATED, StepState.SUCCEEDED, StepState.UNDOING, StepState.UNDO_RETRYING, StepState.UNDO_FAILED)


def _existing(run: Run, *, made: bool) -> Iterator[ServerLine]:
    for step, record in zip(run.steps, run.records, strict=True):
        if step.traits.removes or step.traits.sweeps is not made or type_of(step).port is not PortKind.PROVIDER:
            continue
        if not (record.ref or step.ref):
            continue
        request = _request_now(step, record)
        if record.state in _EXISTS or _exists_anyway(step, record):
            yield ServerLine(
                name=request.name,
                step=step.id,
                provider=step.provider,
                ref=record.ref or step.ref,
                address=record.address,
                zone=request.zone,
                plan=request.plan,
                made=made,
                ready=record.state in (StepState.SUCCEEDED, StepState.UNDONE),
            )


def _exists_anyway(step: Step, record: StepFoldState) -> bool:
    """Whether there is a server although the step did not get to its end, or was undone."""
    if step.before is not None and not step.existed:
        return record.attempt > 0 and not record.gone
    return bool(record.ref) and record.state in (StepState.FAILED, StepState.RETRYING)


def _request_now(step: Step, record: StepFoldState) -> Request:
    return step.before.request if step.before is not None and record.state is StepState.UNDONE else step.request


def step_named(run: Run, word: str) -> str:
    """The step with this id, or the only one whose id ends with, begins with or holds `word`. Raises StepNotFound."""
    if word in run.index:
        return word
    ids = list(run.index)
    tests: tuple[Callable[[str], bool], ...] = (
        lambda one: one.endswith(f"/{word}"),
        lambda one: one.startswith(word),
        lambda one: word in one,
    )
    for test in tests if word else ():
        found = [one for one in ids if test(one)]
        if len(found) == 1:
            return found[0]
        if found:
            raise StepNotFound(f"{len(found)} steps of run {run.id} match {word!r}", hint=f"They are: {some(found, 5)}")
    ends = {end: one for one in ids[:NAMES_COMPARED] for end in _endings(one)}
    near = close_matches(word, ends, n=1)
    hint = f"Did you mean {ends[near[0]]}? " if near else ""
    raise StepNotFound(
        f"run {run.id} has no step {word!r}", hint=f"{hint}List them with: batchwright status RUN --steps"
    )


def _endings(step: str) -> Iterator[str]:
    """`a/b/c`, `b/c`, `c`: the short names of a step."""
    parts = step.split("/")
    return ("/".join(parts[i:]) for i in range(len(parts)))
