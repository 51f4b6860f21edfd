"""The machine against random graphs and a small reference model."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from batchwright.engine.rollback_preview import preview_rollback
from batchwright.journal import event_codec
from batchwright.model import events as ev
from batchwright.model.actions import Action, Undo
from batchwright.model.lifecycle import RUN_ENDED, RunState, StepState
from batchwright.model.plan import Guard, Plan, PlannedOperation, ProviderFacts, Step
from batchwright.model.run import Run, made_something
from batchwright.model.run_snapshot import encode_snapshot, restore_run
from batchwright.model.workflow import Dependency, DependencyKind, DependencyScope, OnFailure, Retry
from batchwright.operations.command import CommandRequest
from tests.property.rig import ATTEMPTS_MAX, Case, Rig, cases
from tests.property.waved import Reference, WavedRig, waved
from tests.support.examples import share

HARD, FAILED = DependencyKind.HARD, DependencyKind.FAILED
GRAPHS = settings(max_examples=share(500), deadline=None, suppress_health_check=[HealthCheck.too_slow])
MANY = settings(max_examples=10_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
FEW = settings(max_examples=share(150), deadline=None, suppress_health_check=[HealthCheck.too_slow])


def expected(case: Case) -> dict[str, StepState]:
    """The reference model, one pass: a step's end follows from its fate and the ends before it."""
    ends: dict[str, StepState] = {}
    for op in case.plan.operations:
        verdict = _verdict(op, {d.id: _together(case, ends, d.id) for d in op.dependencies})
        for i, step in enumerate(case.plan.steps):
            if step.operation != op.id:
                continue
            starved = any(n.kind is HARD and ends[n.step] is not StepState.SUCCEEDED for n in step.needs)
            on = ends[step.server] if step.server else StepState.SUCCEEDED
            if verdict is not None:
                ends[step.id] = verdict
            elif on is not StepState.SUCCEEDED:
                ends[step.id] = on if on is StepState.NOT_WANTED else StepState.SKIPPED
            else:
                ends[step.id] = StepState.SKIPPED if starved else _end(case.fates[i], step)
    return ends


def _together(case: Case, ends: dict[str, StepState], operation: str) -> str:
    """How an operation ended: "good", "bad", "in doubt" or "not wanted"."""
    steps = [(i, step) for i, step in enumerate(case.plan.steps) if step.operation == operation]
    wanted = [ends[step.id] for _, step in steps if ends[step.id] is not StepState.NOT_WANTED]
    if not wanted:
        return "not wanted"
    if all(state is StepState.SUCCEEDED for state in wanted):
        return "good"
    failed = [(i, step) for i, step in steps if ends[step.id] is StepState.FAILED]
    return "in doubt" if failed and all(_in_doubt(case.fates[i], step) for i, step in failed) else "bad"


def _in_doubt(fates: tuple[str, ...], step: Step) -> bool:
    """Whether nobody knows what became of a step that failed: it must not be run again, and gave no answer."""
    if not isinstance(step.request, CommandRequest) or step.request.idempotent:
        return False
    end = next((word for word in fates if word in ("fail", "lost", "vanished")), "fail")
    return end != "fail"


def _verdict(
    op: PlannedOperation, before: dict[str, str], edges: Sequence[Dependency] | None = None
) -> StepState | None:
    edges = op.dependencies if edges is None else edges
    kinds = {kind: {before[d.id] for d in edges if d.kind is kind} for kind in DependencyKind}
    if "not wanted" in kinds[HARD] | kinds[FAILED] or "good" in kinds[FAILED]:
        return StepState.NOT_WANTED
    return StepState.SKIPPED if kinds[HARD] & {"bad", "in doubt"} or "in doubt" in kinds[FAILED] else None


def _end(fates: tuple[str, ...], step: Step) -> StepState:
    once = isinstance(step.request, CommandRequest) and not step.request.idempotent
    counted = 0
    for word in fates:
        if word in ("ok", "wait") or (word == "vanished" and step.action is Action.CREATE):
            return StepState.SUCCEEDED  # a vanished answer of a create is found again by its label
        counted += word != "slow"
        if word == "fail" or counted == ATTEMPTS_MAX or (once and word in ("lost", "vanished")):
            return StepState.FAILED
    raise AssertionError(fates)


def check_against_the_reference(case: Case) -> None:
    rig = Rig(case)
    run = rig.play()
    assert {s.id: r.state for s, r in zip(run.plan.steps, run.records, strict=True)} == expected(case)
    good = not {StepState.FAILED, StepState.SKIPPED} & set(expected(case).values())
    assert run.status is (RunState.COMPLETED if good else RunState.FAILED)


@GRAPHS
@given(cases())
def test_every_step_ends_as_the_reference_model_says(case: Case) -> None:
    check_against_the_reference(case)


@pytest.mark.long
@MANY
@given(cases())
def test_every_step_ends_as_the_reference_model_says_long(case: Case) -> None:
    check_against_the_reference(case)


def program(operation: str, n: int) -> Step:
    request = CommandRequest("p", ("p",))
    return Step(f"{operation}/c{n}", operation, "east", Action.RUN, Undo.NOTHING, request)


def check_waves(case: Case) -> None:
    reference = Reference(case, _verdict, _end, _in_doubt)
    for rebuilds in (False, True):
        rig = WavedRig(case)
        rig.rebuilds = rebuilds
        run = rig.play()
        for step, record in zip(run.plan.steps, run.records, strict=True):
            assert record.state in reference.ends[step.id], step.id
        statuses = set(reference.status.values())
        if "loose" not in statuses:
            bad = {"bad", "in doubt", "perhaps in doubt"} & statuses
            assert run.status is (RunState.FAILED if bad else RunState.COMPLETED)


def test_what_handles_a_failure_is_not_wanted_where_enough_succeeded() -> None:
    """Whatever became of a command in doubt: the operation has not failed."""
    first = PlannedOperation(
        "op0", "command", "east", "east", (), OnFailure.CONTINUE, Retry(1, 1.0, 4.0), 60.0, min_success="1"
    )
    handler = replace(first, id="op1", min_success="", dependencies=(Dependency("op0", FAILED),))
    steps = (program("op0", 0), program("op0", 1), program("op1", 0))
    facts = (ProviderFacts("east", "east", Guard.LABEL_ONLY, 1.0),)
    plan = Plan("w", "1", "memory", 4, True, (first, handler), steps, facts)
    check_waves(Case(plan, (("ok",), ("lost", "fail"), ("ok",)), 1, 4))


@FEW
@given(waved())
def test_waves_and_dependencies_per_server_end_as_the_reference_model_says(case: Case) -> None:
    """Also with a machine that is built anew from the fold at any time."""
    check_waves(case)


@pytest.mark.long
@MANY
@given(waved())
def test_waves_and_dependencies_per_server_end_as_the_reference_model_says_long(case: Case) -> None:
    check_waves(case)


@FEW
@given(waved())
def test_a_rollback_of_waves_goes_backwards(case: Case) -> None:
    rig = WavedRig(case)
    run = rig.play()
    if not any(made_something(run, i) for i in range(len(run.records))):
        return
    start = len(rig.history)
    rig.take(rig.machine.rollback(rig.now, "user"))
    assert rig.play().status is RunState.ROLLED_BACK
    check_reverse(case, rig.history[start:])


@FEW
@given(cases(on_failure=None))
def test_the_machine_is_deterministic_and_every_prefix_of_its_journal_folds(case: Case) -> None:
    first, second = Rig(case), Rig(case)
    first.play()
    second.play()
    assert first.history == second.history
    journal = [event_codec.encode(event) for event in first.history]
    run = Run(case_created(first))
    for body in journal[1:]:
        run.apply(event_codec.decode(body))
        assert encode_snapshot(restore_run(run.created, encode_snapshot(run))) == encode_snapshot(run)
    assert encode_snapshot(run) == encode_snapshot(first.run)


@GRAPHS
@given(cases(bad=("full", "full", "limit", "lost")))
def test_servers_go_where_calls_are_taken_and_the_run_ends(case: Case) -> None:
    rig = Rig(case)
    run = rig.play()  # the rig checks every move and every start
    for i, step in enumerate(run.plan.steps):
        assert run.steps[i] == step.at(run.records[i].place)
        if run.records[i].state is StepState.SUCCEEDED and step.action is Action.CREATE:
            assert run.sent_lanes[run.lane(i)] <= i
    assert set(rig.machine.sweeping.lanes) == set(run.sent_lanes) == run.swept
    assert encode_snapshot(Run.replay(rig.history)) == encode_snapshot(run)


def case_created(rig: Rig) -> ev.RunCreated:
    """The first event after a journey through bytes."""
    created = event_codec.decode(event_codec.encode(rig.history[0]))
    assert isinstance(created, ev.RunCreated)
    return created


@FEW
@given(cases(on_failure=None, once=False), st.integers(0, 60))
def test_a_machine_rebuilt_anywhere_comes_to_the_same_end(case: Case, turns: int) -> None:
    if any(op.on_failure is not OnFailure.CONTINUE for op in case.plan.operations):
        return  # when a failure stops a run, what had begun by then is a matter of order
    if any(edge.kind is FAILED for op in case.plan.operations for edge in op.dependencies):
        return  # what runs after a failure does not run when a crash gave back the attempt that had failed
    undisturbed = Rig(case).play()
    rig = Rig(case)
    for _ in range(turns):
        rig.settle()
        if rig.machine.ended:
            break
        rig.turn()
    if not rig.machine.ended:
        revived = Rig(case)
        revived.run = Run.replay(rig.history)
        revived.machine = type(rig.machine)(revived.run)
        revived.history, revived.now, revived.open = list(rig.history), rig.now, []
        revived.sends, revived.opened = dict(rig.sends), dict(rig.opened)
        for i, record in enumerate(revived.run.records):  # a call that was never sent has no fate yet
            if record.state is StepState.STARTED:
                revived.sends.setdefault(i, 1)
        revived.take([ev.DriverStarted(rig.now, "second", 2)])
        rig = revived
        rig.play()
    wanted = {s.id for s, r in zip(case.plan.steps, undisturbed.records, strict=True) if r.state in DONE}
    done = {s.id for s, r in zip(case.plan.steps, rig.run.records, strict=True) if r.state in DONE}
    assert rig.run.status in RUN_ENDED
    assert wanted <= done  # an attempt that a crash swallowed is given back, so more may succeed, never fewer


DONE = (StepState.SUCCEEDED,)


@FEW
@given(cases())
def test_rollback_undoes_exactly_what_was_made_in_reverse_order(case: Case) -> None:
    rig = Rig(case)
    run = rig.play()
    made = {step.id for i, step in enumerate(run.plan.steps) if made_something(run, i)}
    if not made:
        return
    preview = [line.step for line in preview_rollback(run) if line.what != "stays"]
    start = len(rig.history)
    rig.take(rig.machine.rollback(rig.now, "user"))
    assert rig.play().status is RunState.ROLLED_BACK
    undone = [e.step for e in rig.history[start:] if isinstance(e, ev.StepUndone)]
    assert sorted(undone) == sorted(made)
    assert len(set(undone)) == len(undone)
    assert sorted(preview) == sorted(made)
    check_reverse(case, rig.history[start:])


def check_reverse(case: Case, history: list[ev.AnyEvent]) -> None:
    """Nothing begins to be undone while something that depends on it, and is undone by itself, still stands."""
    begun: dict[str, int] = {}
    ended: dict[str, int] = {}
    for at, event in enumerate(history):
        if isinstance(event, ev.UndoStarted):
            begun.setdefault(event.step, at)
        elif isinstance(event, ev.StepUndone) and not event.with_server:
            ended[event.step] = at
    of = {op.id: [s.id for s in case.plan.steps if s.operation == op.id] for op in case.plan.operations}
    for op in case.plan.operations:
        for dependency in (one for one in op.dependencies if one.per is DependencyScope.OPERATION):
            for before in of[dependency.id]:
                for after in of[op.id]:
                    assert before not in begun or after not in ended or ended[after] < begun[before]
    for step in case.plan.steps:
        for need in step.needs:
            assert need.step not in begun or step.id not in ended or ended[step.id] < begun[need.step]
