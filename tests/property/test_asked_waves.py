"""Waves that people are asked about, on random graphs: nothing begins after a no; a yes lets through what it says."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from batchwright.model import events as ev
from batchwright.model.approver import Principal
from batchwright.model.gate_scope import let_through
from batchwright.model.lifecycle import StepState
from batchwright.model.plan import Hold
from batchwright.model.run_signal import HoldAnswer, Signal, SignalKind
from batchwright.operations.approval import HoldRequest
from tests.property.rig import Case
from tests.property.waved import WavedRig, is_gate, waved
from tests.support.examples import share

S = StepState
FEW = settings(max_examples=share(150), deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def asked(draw: st.DrawFn) -> Case:
    """A case with waves, some of which people are asked about."""
    case = draw(waved())
    steps = [
        replace(step, hold=Hold(), request=HoldRequest(step.request.name, "Go on?"))
        if is_gate(step) and draw(st.booleans())
        else step
        for step in case.plan.steps
    ]
    return replace(case, plan=replace(case.plan, steps=tuple(steps)))


class AskedRig(WavedRig):
    """The rig with a person, who answers in any order, and at any time while other calls are open."""

    def __init__(self, case: Case) -> None:
        self.refused: dict[str, int] = {}  # operation -> the first wave that may not begin
        self.signals = 0
        super().__init__(case)

    def turn(self) -> None:
        asking = self.run.asking
        if not asking or (self.open and self.chance.random() < 0.7):
            super().turn()
            return
        step = self.case.plan.steps[self.chance.choice(asking)]
        hold, yes = self.run.holds[step.id], self.chance.random() < 0.6
        answer = HoldAnswer(step.id, hold.ask, hold.hash, yes, Principal("ada", "ada"))
        self.signals += 1
        said = Signal(SignalKind.ANSWER, self.now, "ada", answer)
        self.take(self.machine.request(said, self.now, self.signals))

    def _check(self, event: ev.AnyEvent) -> None:
        super()._check(event)
        steps, index = self.case.plan.steps, self.run.index
        if isinstance(event, ev.HoldRefused):
            gate = steps[index[event.step]]
            self.refused.setdefault(gate.operation, gate.wave)
        if isinstance(event, ev.StepStarted):
            step = steps[index[event.step]]
            assert step.wave < self.refused.get(step.operation, step.wave + 1)
            unanswered = [i for i in self.run.asking if index[event.step] in let_through(self.run, i)]
            hard = [i for i in unanswered if any(need.step == steps[i].id for need in step.needs)]
            assert not hard, "it began, and the question stands open"


@FEW
@given(asked(), st.booleans())
def test_nothing_of_a_refused_wave_begins(case: Case, rebuilds: bool) -> None:
    """Also with a machine that is built anew from the fold at any time."""
    rig = AskedRig(case)
    rig.rebuilds = rebuilds
    run = rig.play()
    for step, record in zip(case.plan.steps, run.records, strict=True):
        wave = rig.refused.get(step.operation)
        if wave is not None and step.wave >= wave and not is_gate(step) and not run.stopping:
            assert record.state in (S.SKIPPED, S.NOT_WANTED)


@FEW
@given(asked())
def test_each_step_waits_for_at_most_one_question_at_a_time(case: Case) -> None:
    """What one question lets through, no later question of the same operation does."""
    rig = AskedRig(case)
    steps = case.plan.steps
    holds = [i for i, step in enumerate(steps) if step.hold is not None]
    for one in holds:
        for other in holds:
            if one != other and steps[one].operation == steps[other].operation:
                assert not {*let_through(rig.run, one)} & {*let_through(rig.run, other)}
    for i in holds:
        wave = [j for j, step in enumerate(steps) if any(need.step == steps[i].id for need in step.needs)]
        assert {j for j in wave if rig.run.counted[j]} <= {*let_through(rig.run, i)}
