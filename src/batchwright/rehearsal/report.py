"""From the tally of a rehearsal to the view that people see."""

from __future__ import annotations

import math
import shlex
import time
from collections.abc import Mapping, Sequence

from msgspec import Struct

from batchwright.model.plan import OLD
from batchwright.rehearsal.experiment_run import ExperimentOutcome, ReferenceRun, Result, carry_out, retired_servers
from batchwright.rehearsal.exploration import Explored
from batchwright.rehearsal.fault_spec import Experiment
from batchwright.rehearsal.rehearsed import Rehearsed, TraceEntry
from batchwright.rehearsal.tally import LASTING, STORE, Cause, Examples, Tally, words_of
from batchwright.views import rehearsal as words
from batchwright.views.rehearsal import (
    RehearsalCell,
    RehearsalCoverage,
    RehearsalFault,
    RehearsalFinding,
    RehearsalMoment,
    RehearsalRow,
    RehearsalSelfCheck,
    RehearsalSpread,
    RehearsalView,
    RepeatedExperiment,
)

MOMENTS_MOST = 40  # of a timeline
TRACE_SECONDS = 5.0  # after which the findings that are left, which are less serious, get no timeline
_QUIET = ("describe", "find", "access", "acquire", "release", "held", "environment", "resources", "summaries")


class Place(Struct, frozen=True):
    """Where something stands in the user's file."""

    file: str = ""
    line: int = 0
    column: int = 0


class RehearsedFile(Struct, frozen=True):
    """What is said of the file: `command` are the words that rehearse it; `places` are by step and operation.

    `cannot_tell` is what this rehearsal cannot tell, beside what none can.
    """

    shown: str
    command: tuple[str, ...]
    seed: int
    places: Mapping[str, Place] = {}
    providers: Mapping[str, str] = {}
    cannot_tell: tuple[str, ...] = ()


def rehearsal_view(
    rehearsed: Rehearsed,
    references: Mapping[bool, ReferenceRun],
    tally: Tally,
    explored: Explored,
    self_check: RehearsalSelfCheck,
    file: RehearsedFile,
    repeated: Result | None = None,
) -> RehearsalView:
    """The report; `repeated` is the one experiment that was asked for."""
    plan, forward = rehearsed.plan, references[False]
    _note_what_is_not_restored(rehearsed, references, tally)
    ordered = sorted(tally.merged().items(), key=lambda one: _rank(*one))
    until = time.monotonic() + TRACE_SECONDS
    findings = tuple(
        _finding(n, rehearsed, references, cause, found, file, traced=time.monotonic() < until)
        for n, (cause, found) in enumerate(ordered, 1)
    )
    return RehearsalView(
        file=file.shown,
        workflow=plan.workflow,
        environment=plan.environment or plan.workflow,
        ok=all(one.level == "note" for one in findings),
        headline=words.headline(findings, tally.experiments, tally.crashes),
        seed=file.seed,
        steps=len(plan.steps),
        status=str(forward.status),
        findings=findings,
        matrix=_matrix(rehearsed, tally),
        faults=tuple(RehearsalFault(one, tally.fired[one], meaning) for one, meaning in words.FAULTS.items()),
        duration=_spread(forward.seconds, tally.seconds),
        cost={currency: _spread(amount, tally.costs.get(currency, [])) for currency, amount in forward.cost.items()},
        coverage=_coverage(tally, explored),
        self_check=self_check,
        not_explored=_not_explored(rehearsed, explored, tally),
        cannot_tell=(*words.CANNOT_TELL, *file.cannot_tell),
        providers=dict(file.providers),
        repeated=_repeated(repeated) if repeated is not None else None,
    )


def _repeated(result: Result) -> RepeatedExperiment:
    fired = set(result.fired)
    missed = tuple(str(one) for one in result.experiment.injections if one not in fired)
    return RepeatedExperiment(
        str(result.experiment), str(result.outcome), result.status, missed, _timeline(result.trace)
    )


def _note_what_is_not_restored(rehearsed: Rehearsed, references: Mapping[bool, ReferenceRun], tally: Tally) -> None:
    """A server that the run destroys is gone for good, whatever is rolled back."""
    for step in rehearsed.plan.steps if True in references else ():
        if step.retired is not None and step.request.name in retired_servers(rehearsed.plan):
            tally.note(Cause("not_restored", step.operation, ""), step.id, Experiment(rollback=True))


def _rank(cause: Cause, found: Examples) -> tuple[int, int, str, str]:
    return words.LEVELS.index(level_of(cause)), -found.count, cause.operation, cause.kind


def level_of(cause: Cause) -> str:
    """How bad it is: error, warning or note."""
    if cause.kind in ("doubt", "resume", "rollback", "stuck"):
        by_nature = (LASTING | {"clock_jump"}) & {cause.why, *cause.fault.split("+")}
        if cause.kind == "stuck" and "vanishes" not in cause.fault:
            return "error"
        return "note" if by_nature and cause.kind != "doubt" else "warning"
    return "note" if cause.kind in ("answer", "taken_back", "not_restored") else "error"


def _finding(
    number: int,
    rehearsed: Rehearsed,
    references: Mapping[bool, ReferenceRun],
    cause: Cause,
    found: Examples,
    file: RehearsedFile,
    *,
    traced: bool,
) -> RehearsalFinding:
    experiment = found.result.experiment
    about = tuple(sorted(found.about, key=lambda one: (-found.about[one], one)))
    step = next((one for one in about if one), "")
    place = file.places.get(step.removesuffix(OLD)) or file.places.get(cause.operation) or Place()
    alternatives = any(one.alternatives for one in rehearsed.plan.steps if one.operation == cause.operation)
    fault = cause.fault or words_of(experiment)
    answering = {one.id for one in rehearsed.plan.steps if one.request.answers}
    at = str(experiment) if experiment.injections else ""
    repeat = shlex.join(["batchwright", "rehearse", *file.command, "--at", at, "--seed", str(file.seed)])
    moments: Sequence[TraceEntry] = ()
    if at and traced:
        moments = carry_out(rehearsed, references[experiment.rollback], experiment, trace=True).trace
    return RehearsalFinding(
        id=f"F{number}",
        level=level_of(cause),
        kind=cause.kind,
        title=words.finding_title(cause.kind, about, cause.why),
        operation=cause.operation,
        fault=fault,
        about=about[:20],
        runs=found.count,
        do=words.what_to_do(cause.kind, step, cause.fault, cause.why, answers=step in answering),
        instead=words.instead(cause.kind, cause.fault, alternatives=alternatives),
        at=at,
        repeat=repeat if at else shlex.join(["batchwright", "rehearse", *file.command]),
        file=place.file,
        line=place.line,
        column=place.column,
        timeline=_timeline(moments),
    )


def _timeline(traced: Sequence[TraceEntry]) -> tuple[RehearsalMoment, ...]:
    """The moments that matter: what processes change, fail at, begin and end with; and the world."""
    moments: list[RehearsalMoment] = []
    for one in traced:
        first = one.what.split(" ")[0]
        if first in _QUIET or first == "record":
            continue
        mark = first if first in words.MARKS else ""
        moments.append(RehearsalMoment(one.at, one.process, words.moment(one.what, one.about), mark))
    if len(moments) > MOMENTS_MOST:
        fault = next((i for i, one in enumerate(moments) if one.mark == "fault"), 0)
        begin = max(0, min(fault - MOMENTS_MOST // 4, len(moments) - MOMENTS_MOST))
        moments = moments[begin : begin + MOMENTS_MOST]
    return tuple(moments)


def _matrix(rehearsed: Rehearsed, tally: Tally) -> tuple[RehearsalRow, ...]:
    types = {op.id: op.type for op in rehearsed.plan.operations}
    rows = [*types, *sorted({place for place, _ in tally.cells} - set(types))]
    found = []
    for place in rows:
        cells = tuple(
            RehearsalCell(fault, counts.total(), *(counts[one] for one in ExperimentOutcome))
            for fault in words.FAULTS
            if (counts := tally.cells.get((place, fault)))
        )
        kind = types.get(place, "store" if place == STORE else "provider")
        if cells:
            found.append(RehearsalRow(place, kind, cells))
    return tuple(found)


def _spread(undisturbed: float, all_of: Sequence[float]) -> RehearsalSpread:
    ordered = sorted(all_of) or [undisturbed]

    def at(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)], 6)

    return RehearsalSpread(round(undisturbed, 6), at(0.5), at(0.9), round(ordered[-1], 6))


def _coverage(tally: Tally, explored: Explored) -> RehearsalCoverage:
    return RehearsalCoverage(
        tally.experiments,
        tally.crashes,
        explored.points,
        explored.same,
        explored.kinds,
        explored.kinds_done,
        explored.nested,
        explored.nested_done,
        explored.alike,
        explored.alike_done,
        explored.random_done,
        explored.not_reached,
        round(explored.seconds, 2),
    )


def _not_explored(rehearsed: Rehearsed, explored: Explored, tally: Tally) -> tuple[str, ...]:
    told = words.not_explored(
        kinds=explored.kinds - explored.kinds_done,
        nested=explored.nested - explored.nested_done,
        alike=explored.alike - explored.alike_done,
        never=tuple(one for one in words.FAULTS if not tally.fired[one]),
        rollback=rehearsed.plan.rollback_enabled,
        ends=tally.ends_left_out,
    )
    return tuple(told)
