"""Whether a step that has nothing left to wait for runs, is skipped or is not wanted. Pure.

An operation is judged by the ends of those it depends on, a step besides by its server and by the steps it needs. "Not
wanted" wins over "skipped", which wins over "run".
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from msgspec import Struct

from batchwright.model.lifecycle import STEP_ENDED, StepState
from batchwright.model.operation_end import OperationEnd, failure_certain, operation_end
from batchwright.model.plan import PlannedOperation
from batchwright.model.run import Run, unsettled
from batchwright.model.workflow import Dependency, DependencyKind, DependencyScope

S = StepState


class Outcome(StrEnum):
    """What becomes of a step."""

    RUN = "run"
    SKIP = "skip"
    NOT_WANTED = "not_wanted"
    WAIT = "wait"  # for the end of the operation that its server belongs to


class Verdict(Struct, frozen=True):
    """What becomes of a step, and because of which operation or step."""

    outcome: Outcome
    reason: str = ""
    because: str = ""


RUN = Verdict(Outcome.RUN)


def _worst(verdicts: list[Verdict]) -> Verdict:
    for outcome in (Outcome.NOT_WANTED, Outcome.SKIP, Outcome.WAIT):
        for verdict in verdicts:
            if verdict.outcome is outcome:
                return verdict
    return RUN


class DependencyVerdict:
    """Judges the steps of one run; of each operation it is asked only when those before it have ended."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._operations: dict[int, Verdict] = {}

    def of_step(self, i: int) -> Verdict:
        """What becomes of the step with this index."""
        op = self._run.step_operation[i]
        if op not in self._operations:
            self._operations[op] = self._of_operation(self._run.plan.operations[op])
        verdict, name = self._operations[op], self._run.plan.operations[op].id
        if name in self._run.failed_operations:
            cause = self._run.failed_operations[name]
            return Verdict(Outcome.SKIP, f"operation {name} cannot succeed any more", cause)
        if verdict.outcome is not Outcome.RUN:
            return verdict
        step = self._run.plan.steps[i]
        if not step.server and not step.needs:
            return RUN
        return _worst([self._by_server(i), *self._per_server(i), self._by_needs(i)])

    def judged_again(self, i: int, verdict: Verdict) -> Verdict:
        """The verdict, unless the operation that was to continue without the step's server has failed since."""
        run, cause = self._run, self._run.index.get(verdict.because)
        if cause is None or verdict.outcome is not Outcome.NOT_WANTED:
            return verdict
        lost = run.step_operation[cause] != run.step_operation[i]
        return self.of_step(i) if lost and run.plan.steps[cause].operation in run.failed_operations else verdict

    def is_not_wanted(self, op: int) -> bool:
        """Whether the operation with this index is known not to be wanted as a whole."""
        if op not in self._operations:  # a process that takes over has judged none of its steps yet
            run, operation = self._run, self._run.plan.operations[op]
            before = [one.id for one in operation.dependencies if one.per is DependencyScope.OPERATION]
            if any(operation_end(run, run.operation_index[name]) is None for name in before):
                return False
            self._operations[op] = self._of_operation(operation)
        return self._operations[op].outcome is Outcome.NOT_WANTED

    def _of_operation(self, op: PlannedOperation) -> Verdict:
        run = self._run
        verdicts = []
        for dependency in op.dependencies:
            if dependency.per is DependencyScope.OPERATION:
                end = operation_end(run, run.operation_index[dependency.id])
                assert end is not None, f"{op.id} is judged before {dependency.id} has ended"
                steps = run.operation_steps[run.operation_index[dependency.id]]
                doubt = None if end.good else self._unless_in_doubt(dependency, steps)
                verdicts.append(doubt or _by_edge(dependency, end, dependency.id))
        verdicts += [self._by_answer(probe, answer) for probe, answer in op.when.items()]
        return _worst(verdicts)

    def _unless_in_doubt(self, edge: Dependency, steps: Sequence[int]) -> Verdict | None:
        """A failure is not handled while nobody knows whether there was one: a person is asked, and then the run is
        resumed.
        """
        run = self._run
        if edge.kind is not DependencyKind.FAILED or not run.plan.rules.known_failures:
            return None
        failed = [i for i in steps if run.records[i].state is S.FAILED]
        if not failed or not all(unsettled(run, i) for i in failed):
            return None
        step = run.plan.steps[failed[0]].id
        return Verdict(Outcome.SKIP, f"nobody knows yet whether step {step} failed", step)

    def _by_answer(self, probe: str, wanted: str) -> Verdict:
        run = self._run
        records = [run.records[i] for i in run.operation_steps[run.operation_index[probe]]]
        given = next((record.answer for record in records if record.state is S.SUCCEEDED), "")
        if not given or given == wanted:
            return RUN  # without an answer the probe has not succeeded, and the edge to it says what follows
        return Verdict(Outcome.NOT_WANTED, f"{probe} answered {given}, not {wanted}", probe)

    def _by_server(self, i: int) -> Verdict:
        run, server = self._run, self._run.plan.steps[i].server
        if not server or not run.plan.rules.server_first or run.record(server).state is S.SUCCEEDED:
            return RUN
        at = run.step_operation[run.step(server)]
        return self._without(server, at)

    def _without(self, step: str, op: int) -> Verdict:
        """What becomes of a step without the one it stands on, which ended without success."""
        run = self._run
        name, state = run.plan.operations[op].id, run.record(step).state
        if state not in STEP_ENDED:
            return Verdict(Outcome.WAIT, because=name)
        if state is S.NOT_WANTED:
            return Verdict(Outcome.NOT_WANTED, f"step {step} was not wanted", step)
        if name in run.failed_operations or failure_certain(run, op):
            return Verdict(Outcome.SKIP, f"step {step} did not succeed", step)
        # not to be put off until the operation has ended: its next wave may wait for this step
        return Verdict(Outcome.NOT_WANTED, f"step {step} did not succeed, and {name} continues without it", step)

    def _per_server(self, i: int) -> list[Verdict]:
        run = self._run
        op = run.plan.operations[run.step_operation[i]]
        edges = {one.id: one for one in op.dependencies if one.per is DependencyScope.SERVER}
        if not edges:
            return []
        verdicts = []
        for need in run.plan.steps[i].needs:
            at = run.step_operation[run.step(need.step)]
            edge = edges.get(run.plan.operations[at].id)
            if edge is not None:
                verdicts.append(self._by_step(edge, need.step, at))
        return verdicts

    def _by_step(self, edge: Dependency, step: str, op: int) -> Verdict:
        state = self._run.record(step).state
        if state is S.SUCCEEDED:
            return _by_edge(edge, OperationEnd.SUCCEEDED, step)
        if edge.kind is DependencyKind.HARD:
            return self._without(step, op)
        end = OperationEnd.NOT_WANTED if state is S.NOT_WANTED else OperationEnd.FAILED
        return self._unless_in_doubt(edge, [self._run.step(step)]) or _by_edge(edge, end, step)

    def _by_needs(self, i: int) -> Verdict:
        for need in self._run.plan.steps[i].needs:
            if need.kind is DependencyKind.HARD and self._run.record(need.step).state is not S.SUCCEEDED:
                return Verdict(Outcome.SKIP, f"step {need.step} did not succeed", need.step)
        return RUN


def _by_edge(edge: Dependency, end: OperationEnd, upstream: str) -> Verdict:
    """The table of dependencies: what follows from how the upstream operation ended."""
    if edge.kind is DependencyKind.SOFT:
        return RUN
    if end is OperationEnd.NOT_WANTED:
        return Verdict(Outcome.NOT_WANTED, f"{upstream} was not wanted", upstream)
    if edge.kind is DependencyKind.FAILED:
        return Verdict(Outcome.NOT_WANTED, f"{upstream} did not fail", upstream) if end.good else RUN
    return RUN if end.good else Verdict(Outcome.SKIP, f"operation {upstream} did not succeed", upstream)
