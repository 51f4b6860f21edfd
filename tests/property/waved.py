"""Random plans with waves, `min_success` and dependencies per server, and the reference model of them.

Written without the planner's waves and the machine's counting, which it is to check.
"""

from __future__ import annotations

from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter
from math import ceil

from hypothesis import strategies as st
from msgspec.structs import replace

from batchwright.engine import effects
from batchwright.model import events as ev
from batchwright.model.actions import Action, Undo
from batchwright.model.lifecycle import STEP_ENDED, StepState
from batchwright.model.plan import Need, Plan, PlannedOperation, Step
from batchwright.model.run import Run
from batchwright.model.workflow import Dependency, DependencyKind, DependencyScope
from batchwright.operations.approval import HoldRequest
from tests.property.rig import Case, Rig, cases

HARD, SOFT, FAILED = DependencyKind.HARD, DependencyKind.SOFT, DependencyKind.FAILED
S = StepState
BAD = (S.FAILED, S.SKIPPED)
LEAST = ["", "", "50%", "67%", "1", "2"]


def is_gate(step: Step) -> bool:
    return step.action is Action.GATE


def on_server(step: Step) -> str:
    return step.server or step.id


def least(op: PlannedOperation, steps: int) -> int:
    if not op.min_success:
        return steps
    return ceil(int(op.min_success[:-1]) * steps / 100) if op.min_success.endswith("%") else int(op.min_success)


@st.composite
def waved(draw: st.DrawFn) -> Case:
    """A case of the rig with all of it, unless that waits for itself: then without the waves."""
    case = draw(cases())
    operations = [_with_least(draw, op, case.plan) for op in case.plan.operations]
    steps = [replace(step, request=_plain(step)) for step in case.plan.steps]
    for n, op in enumerate(operations):
        operations[n], steps = _per_server(draw, op, operations[:n], steps)
    sizes = {
        op.id: draw(st.lists(st.integers(1, 3), min_size=1, max_size=2)) for op in operations if draw(st.booleans())
    }
    plan = replace(case.plan, operations=tuple(operations), steps=tuple(steps))
    gated = replace(plan, steps=tuple(_gated(plan, sizes)))
    plan = plan if _waits_for_itself(gated) else gated
    fates = dict(zip((step.id for step in case.plan.steps), case.fates, strict=True))
    return replace(case, plan=plan, fates=tuple(fates.get(step.id, ("ok",)) for step in plan.steps))


def _plain(step: Step) -> object:
    return replace(step.request, references=()) if getattr(step.request, "references", ()) else step.request


def _with_least(draw: st.DrawFn, op: PlannedOperation, plan: Plan) -> PlannedOperation:
    steps = sum(step.operation == op.id for step in plan.steps)
    return replace(op, min_success=draw(st.sampled_from([word for word in LEAST if word != "2" or steps > 1])))


def _per_server(
    draw: st.DrawFn, op: PlannedOperation, before: Iterable[PlannedOperation], steps: list[Step]
) -> tuple[PlannedOperation, list[Step]]:
    """Some dependencies on operations that share servers become dependencies per server."""
    mine = {step.server for step in steps if step.operation == op.id and step.server}
    chosen: list[str] = []
    for other in before:
        there = {on_server(step) for step in steps if step.operation == other.id}
        if mine & there and draw(st.booleans()):
            chosen.append(other.id)
    edges = {one.id: one for one in op.dependencies}
    for name in chosen:
        edges[name] = Dependency(name, edges[name].kind if name in edges else HARD, DependencyScope.SERVER)
    changed = []
    for step in steps:
        upstream = [s.id for s in steps if s.operation in chosen and step.server == on_server(s)]
        needs = (*step.needs, *(Need(one, SOFT) for one in upstream if step.operation == op.id and step.server))
        changed.append(replace(step, needs=needs))
    return replace(op, dependencies=tuple(edges.values())), changed


def _gated(plan: Plan, sizes: dict[str, list[int]]) -> list[Step]:
    """The steps in waves; each gate waits for the wave before and for what follows it per server."""
    found: list[Step] = []
    for op in plan.operations:
        mine = [step for step in plan.steps if step.operation == op.id]
        servers = list(dict.fromkeys(map(on_server, mine)))
        of: dict[str, int] = {}
        while op.id in sizes and len(of) < len(servers):
            number = 1 + max(of.values(), default=0)
            size = sizes[op.id][min(number, len(sizes[op.id])) - 1]
            of.update(dict.fromkeys(servers[len(of) : len(of) + size], number))
        followers, last = {op.id}, max(of.values(), default=1)
        for other in plan.operations:
            if any(one.id in followers and one.per is DependencyScope.SERVER for one in other.dependencies):
                followers.add(other.id)
        for k in range(2, last + 1):
            wave = {server for server, number in of.items() if number == k - 1}
            waits = [s.id for s in plan.steps if s.operation in followers and on_server(s) in wave]
            needs = (*(Need(one, SOFT) for one in waits), *([Need(f"{op.id}/(wave {k - 1})")] if k > 2 else []))
            request = HoldRequest(f"wave {k}")
            found.append(Step(f"{op.id}/(wave {k})", op.id, "", Action.GATE, Undo.NOTHING, request, needs, wave=k))
        for step in mine:
            k = of.get(on_server(step), 0) if last > 1 else 0
            gate = (Need(f"{op.id}/(wave {k})"),) if k > 1 else ()
            found.append(replace(step, wave=k, needs=(*step.needs, *gate)))
    return found


def _waits_for_itself(plan: Plan) -> bool:
    graph: dict[str, list[str]] = {step.id: [need.step for need in step.needs] for step in plan.steps}
    for op in plan.operations:
        graph[f"begin {op.id}"] = [f"end {d.id}" for d in op.dependencies if d.per is DependencyScope.OPERATION]
        graph[f"end {op.id}"] = [f"begin {op.id}", *(step.id for step in plan.steps if step.operation == op.id)]
    for step in plan.steps:
        graph[step.id] += [f"begin {step.operation}", *([step.server] if step.server else [])]
    try:
        TopologicalSorter(graph).prepare()
    except CycleError:
        return True
    return False


class WavedRig(Rig):
    """The rig, which checks waves and `min_success` at each event, and may lose its machine at any time."""

    rebuilds = False

    def take(self, events: list[ev.AnyEvent]) -> None:
        for event in events:
            self._check(event)
            super().take([event])

    def _check(self, event: ev.AnyEvent) -> None:
        run, plan = self.run, self.case.plan
        if isinstance(event, ev.GatePassed):
            gate = plan.steps[run.index[event.step]]
            assert all(run.record(need.step).state in STEP_ENDED for need in gate.needs)
            assert not hopeless(run, gate.operation)
        if isinstance(event, ev.StepStarted):
            step = plan.steps[run.index[event.step]]
            flying = {plan.steps[i].wave for i in run.in_flight if plan.steps[i].operation == step.operation}
            assert flying <= {step.wave, 0} or not step.wave, "two waves at once"
            if step.server:
                assert run.record(step.server).state is S.SUCCEEDED
            op = plan.operations[run.operation_index[step.operation]]
            assert not (op.min_success and hopeless(run, op.id)), "it cannot succeed, and goes on"
        if isinstance(event, ev.OperationFailed):
            assert hopeless(run, event.operation)
            assert event.operation not in run.failed_operations

    def settle(self) -> None:
        super().settle()
        for op in self.case.plan.operations:  # as early as it is certain
            if op.min_success and not self.machine.ended and not self.run.stopping:
                bad = any(state in BAD for state in self._states(op.id))  # else it may not be wanted as a whole
                assert (bad and hopeless(self.run, op.id)) <= (op.id in self.run.failed_operations)

    def _states(self, operation: str) -> list[StepState]:
        steps = zip(self.run.plan.steps, self.run.records, strict=True)
        return [record.state for step, record in steps if step.operation == operation and not is_gate(step)]

    def turn(self) -> None:
        sweeping = any(isinstance(command, effects.Sweep) for command in self.open)
        if self.rebuilds and not sweeping and self.chance.random() < 0.3:
            self.machine = type(self.machine)(self.run)
        super().turn()


def hopeless(run: Run, operation: str) -> bool:
    """Whether too many steps of an operation failed or were skipped."""
    op = run.plan.operations[run.operation_index[operation]]
    records = zip(run.plan.steps, run.records, strict=True)
    states = [r.state for s, r in records if s.operation == operation and not is_gate(s)]
    steps = sum(state is not S.NOT_WANTED for state in states)
    return steps > 0 and steps - sum(state in BAD for state in states) < least(op, steps)


# -- the reference model --------------------------------------------------------------------------------------------

ANY = frozenset(STEP_ENDED)
Ends = dict[str, frozenset[StepState]]  # in which states a step may end


class Reference:
    """In which states each step may end, operation after operation.

    Of an operation that `min_success` fails, what has not begun at that moment is skipped, so what becomes of its steps
    depends on the order of answers, and with it what stands on its servers: those may end anyhow (`loose`).
    """

    def __init__(self, case: Case, verdict: object, end: object, in_doubt: object) -> None:
        self.case = case
        self._verdict, self._end, self._in_doubt = verdict, end, in_doubt
        self.ends: Ends = {}
        self.status: dict[str, str] = {}  # good, bad, in doubt, perhaps in doubt, not wanted or loose
        self.steps = {step.id: i for i, step in enumerate(case.plan.steps)}
        self.operations = {op.id: op for op in case.plan.operations}
        for op in case.plan.operations:
            self.status[op.id] = self._of_operation(op)

    def _of_operation(self, op: PlannedOperation) -> str:
        mine = sorted((s for s in self.case.plan.steps if s.operation == op.id), key=lambda s: (s.wave, not is_gate(s)))
        whole = [d for d in op.dependencies if d.per is DependencyScope.OPERATION]
        if any(self.status[d.id] == "loose" for d in whole):
            return self._loose(mine)
        if any(self.status[d.id] == "perhaps in doubt" and d.kind is FAILED for d in whole):
            return self._loose(mine)
        before = {d.id: self.status[d.id].replace("perhaps in doubt", "bad") for d in whole}
        verdict = self._verdict(op, before, whole)  # type: ignore[operator]
        if verdict is not None:
            self.ends.update((step.id, frozenset({verdict})) for step in mine)
            return "not wanted" if verdict is S.NOT_WANTED else "bad"
        done: list[StepState] = []
        for step in mine:
            state = self._gate(op, mine, done) if is_gate(step) else self._of_step(op, step)
            if state is None:
                return self._loose(mine)
            self.ends[step.id] = frozenset({state})
            done += [] if is_gate(step) else [state]
        n = sum(state is not S.NOT_WANTED for state in done)
        if not n:  # a number does not shrink with what is not wanted: it may have failed on the way
            return self._loose(mine) if op.min_success.isdigit() and len(done) > 1 else "not wanted"
        if n - sum(state in BAD for state in done) >= least(op, n):
            return "good"
        failed = [self._doubtful(step.id) for step in mine if self.ends[step.id] == {S.FAILED} and not is_gate(step)]
        if op.min_success:  # which of them fail before the others are skipped depends on the order of answers
            self.ends.update((step.id, self.ends[step.id] | {S.SKIPPED}) for step in mine)
            return "perhaps in doubt" if any(failed) else "bad"
        return "in doubt" if failed and all(failed) else "bad"

    def _doubtful(self, step: str) -> bool:
        """Whether nobody knows what became of a step that failed."""
        i = self.steps[step]
        return self._in_doubt(self.case.fates[i], self.case.plan.steps[i])  # type: ignore[operator,no-any-return]

    def _loose(self, mine: list[Step]) -> str:
        self.ends.update((step.id, ANY) for step in mine)
        return "loose"

    def _gate(self, op: PlannedOperation, mine: list[Step], done: list[StepState]) -> StepState:
        n = sum(not is_gate(step) for step in mine) - sum(state is S.NOT_WANTED for state in done)
        return S.SKIPPED if n - sum(state in BAD for state in done) < least(op, n) else S.SUCCEEDED

    def _of_step(self, op: PlannedOperation, step: Step) -> StepState | None:
        """None: that depends on the order of answers."""
        scoped = {d.id: d.kind for d in op.dependencies if d.per is DependencyScope.SERVER}
        verdicts: list[StepState | None] = [self._without(step.server)] if step.server else []
        for need in step.needs:
            upstream = self.case.plan.steps[self.steps[need.step]].operation
            if upstream != op.id:
                verdicts.append(self._per_server(need.step, scoped[upstream]))
            elif len(self.ends[need.step]) > 1:
                return None
            elif need.kind is HARD and self.ends[need.step] != {S.SUCCEEDED}:
                verdicts.append(S.SKIPPED)
        if None in verdicts:
            return None
        for state in (S.NOT_WANTED, S.SKIPPED):
            if state in verdicts:
                return state
        return self._end(self.case.fates[self.steps[step.id]], step)  # type: ignore[operator,no-any-return]

    def _per_server(self, upstream: str, kind: DependencyKind) -> StepState | None:
        ends = self.ends[upstream]
        if kind is HARD or len(ends) > 1:
            return self._without(upstream)
        if kind is FAILED and ends <= {S.SUCCEEDED, S.NOT_WANTED}:
            return S.NOT_WANTED
        if kind is FAILED and ends == {S.FAILED} and self._doubtful(upstream):
            return S.SKIPPED
        return S.SUCCEEDED

    def _without(self, step: str) -> StepState | None:
        """What follows for what stands on a step: SUCCEEDED if it may run."""
        ends = self.ends[step]
        if len(ends) > 1:
            return None
        (state,) = ends
        if state not in BAD:
            return state
        op = self.operations[self.case.plan.steps[self.steps[step]].operation]
        if not op.min_success:
            return S.SKIPPED
        return S.NOT_WANTED if self.status[op.id] == "good" else None
