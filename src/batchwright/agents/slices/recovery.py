"""What can be done about a run: each way with what it would do, what it would destroy, and what cannot be undone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from enum import StrEnum
from shlex import quote

from msgspec import Struct

from batchwright.agents.slices.base import Evidence, Fact, Slice
from batchwright.agents.slices.run_source import RunSource, ids, parsed, run_facts
from batchwright.agents.slices.token_budget import Section, fit
from batchwright.agents.slices.untrusted_text import fenced, name
from batchwright.engine.policy import POLICIES
from batchwright.engine.rollback_preview import PlannedUndo, UndoKind, preview_rollback
from batchwright.model.lifecycle import RUN_ENDED, RunState, StepState
from batchwright.model.run import Run, changed_something, unsettled
from batchwright.views.text_format import counted, counted_of

S = StepState
DESTRUCTIVE = (UndoKind.DESTROY, UndoKind.WITH_SERVER, UndoKind.REMOVE, UndoKind.FINISH)
LEFT = (UndoKind.STAYS, UndoKind.GONE, UndoKind.BLOCKED, UndoKind.UNKNOWN)
STEPS_MOST = 100


class Way(StrEnum):
    """What a person can do about a run."""

    ANSWER = "answer"
    REDO = "redo"
    RESUME = "resume"
    ROLLBACK = "rollback"
    WATCH = "watch"
    ACCEPT = "accept"


class RecoveryWay(Struct, frozen=True):
    """One way to go on: its command, and the step that it is about, "" for the whole run.

    `runs`, `undoes` and `destroys` are how many steps it would carry out and undo, and how much it would take away;
    `before` is what a person has to do first.
    """

    way: Way
    command: str
    step: str = ""
    runs: int = 0
    undoes: int = 0
    destroys: int = 0
    before: str = ""


def recovery_ways(run: Run, *, driven: bool) -> list[RecoveryWay]:
    """The ways that exist for this run, the one to try first first."""
    return list(_ways(run, _undos(run), driven=driven))


def recovery_slice(source: RunSource, query: str, budget: int) -> Slice:
    """What can be done about a run. Raises UsageError."""
    parsed(query, ())
    run = source.run
    undos = _undos(run)
    ways = list(_ways(run, undos, driven=source.around.driven))
    lost = [_undo(one) for one in undos if one.what in DESTRUCTIVE]
    stays = [_undo(one) for one in undos if one.what in LEFT]
    sections = (
        Section("ways", "ask recovery", [_way(run, one) for one in ways], least=6),
        Section("steps in doubt", "find state=failed", list(_doubts(source))),
        Section("servers or services that a rollback takes away", "show STEP", lost[:STEPS_MOST], _more(lost)),
        Section("things that a rollback leaves", "show STEP", stays[:STEPS_MOST], _more(stays)),
        Section("steps that would be tried again", "find state=failed", list(_again(source)), weighed=True),
    )
    return fit("recovery", run.id, run.seq, budget, run_facts(source), sections)


def _more(found: Sequence[Fact]) -> int:
    return max(0, len(found) - STEPS_MOST)


def _undos(run: Run) -> list[PlannedUndo]:
    possible = run.plan.rollback_enabled and run.status in RUN_ENDED and run.status is not RunState.ROLLED_BACK
    return preview_rollback(run) if possible else []


def _unfinished(run: Run) -> list[int]:
    over = (S.SUCCEEDED, S.NOT_WANTED, S.UNDONE)
    return [i for i, record in enumerate(run.records) if record.state not in over and run.counted[i]]


def _ways(run: Run, undos: Sequence[PlannedUndo], *, driven: bool) -> Iterator[RecoveryWay]:
    own = run.id
    for i in run.asking:
        step = run.plan.steps[i].id
        yield RecoveryWay(Way.ANSWER, f"batchwright approve {own} {quote(step)}", step, 1)
    live = run.status not in RUN_ENDED
    if live and driven:
        yield RecoveryWay(Way.WATCH, f"batchwright monitor {own}", runs=len(_unfinished(run)))
        return
    left = len(_unfinished(run))
    doubtful = [i for i in range(len(run.records)) if unsettled(run, i)]
    for i in doubtful:
        step = run.plan.steps[i].id
        yield RecoveryWay(Way.REDO, f"batchwright resume {own} --redo {quote(step)}", step, 1, before=_LOOK)
    if live or (run.status in (RunState.FAILED, RunState.CANCELLED) and not run.rolled_back_by):
        yield RecoveryWay(Way.RESUME, f"batchwright resume {own}", runs=left, before=_before(run, doubtful))
    undone = [one for one in undos if one.what not in LEFT]
    if undone:
        destroys = sum(one.what in DESTRUCTIVE for one in undone)
        yield RecoveryWay(Way.ROLLBACK, f"batchwright rollback {own}", undoes=len(undone), destroys=destroys)
    if run.status in RUN_ENDED and any(changed_something(run, i) for i in range(len(run.records))):
        yield RecoveryWay(Way.ACCEPT, "")


_LOOK = "look whether it took effect"


def _before(run: Run, doubtful: Sequence[int]) -> str:
    """What has to be done before the run can go on well."""
    if doubtful:
        return "decide about the steps in doubt"
    kinds = Counter(one.fault.kind for one in run.records if one.state is S.FAILED and one.fault)
    kinds += Counter(fault.kind for fault in run.stopped_lanes.values())
    final = sorted(kind.value for kind in kinds if not POLICIES[kind].retry)
    return f"mend the cause: {', '.join(final)}" if final else ""


def _way(run: Run, one: RecoveryWay) -> Fact:
    parts = [f"way {one.way}"]
    if one.command:
        parts.append(one.command if one.command.isascii() and one.command.isprintable() else fenced(one.command))
    if one.runs:
        parts.append(f"carries out {counted(one.runs, 'step')}")
    if one.undoes:
        gone = counted_of(one.destroys, "servers or services")
        parts.append(f"undoes {counted(one.undoes, 'step')}, takes away {gone}")
    if one.way is Way.ACCEPT:
        done = run.count(S.SUCCEEDED)
        parts.append(f"leave it as it is: {counted(done, 'step')} {'stays' if done == 1 else 'stay'} done")
    if one.before:
        parts.append(f"before: {one.before}")
    return Fact("way", "; ".join(parts), (Evidence(run.seq),))


def _doubts(source: RunSource) -> Iterator[Fact]:
    run = source.run
    for i, record in enumerate(run.records):
        if record.doubt:
            step = run.plan.steps[i].id
            who = "a person decides" if unsettled(run, i) else "settled by asking its provider"
            yield Fact("doubt", f"in doubt: {name(step)}: {who}", (source.evidence(i),))


def _undo(one: PlannedUndo) -> Fact:
    ref = f" {name(one.ref)}" if one.ref else ""
    note = f": {fenced(one.note)}" if one.note and one.what is not UndoKind.WITH_SERVER else ""
    return Fact("undo", f"rollback {one.what} {name(one.step)}{ref}{note}", (Evidence(0, one.step),))


def _again(source: RunSource) -> Iterator[Fact]:
    """The failed steps that a resume tries again, by the kind of their failure."""
    run = source.run
    kinds: dict[str, list[int]] = {}
    for i in _unfinished(run):
        fault = run.records[i].fault
        if run.records[i].state is S.FAILED and fault is not None:
            kinds.setdefault(fault.kind, []).append(i)
    for kind, steps in kinds.items():
        named = ids(run.plan.steps[i].id for i in steps)
        evidence = tuple(source.evidence(i) for i in steps[:3])
        yield Fact("again", f"again: {len(steps)} that failed with {kind}: {named}", evidence, len(steps))
