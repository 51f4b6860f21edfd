"""Plans with waves, `min_success` and dependencies per server: none waits for itself, no wave is too large."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from batchwright.model.diagnostic import Severity
from batchwright.model.taskserv import Scope
from batchwright.model.workflow import DependencyScope, HoldAfter, Operation
from batchwright.operations.taskserv_batch import TaskservBatch
from batchwright.operations.waves import server_of, wave_sizes
from batchwright.plan import build, estimate
from batchwright.plan.plan_soundness import plan_flaws
from batchwright.views.plan_index import plan_index
from batchwright.views.planned_waves import planned_waves
from tests.property.test_plan import Case, any_speed, catalogues, workflows, worlds
from tests.support.examples import share


def scopes(op: Operation) -> st.SearchStrategy[DependencyScope]:
    """What makes servers can only wait for the whole of something."""
    return st.sampled_from(DependencyScope) if isinstance(op, TaskservBatch) else st.just(DependencyScope.OPERATION)


@st.composite
def waved(draw: st.DrawFn) -> Case:
    """Any workflow with waves, `min_success` and dependencies per server."""
    flow, catalogue = draw(workflows()), draw(catalogues())
    if draw(st.integers(0, 3)):  # else hardly any plan is left
        plain = {"scope": Scope.SERVER, "requires": (), "conflicts": (), "provides": ()}
        catalogue = {name: msgspec.structs.replace(entry, **plain) for name, entry in catalogue.items()}
    sizes = st.lists(st.sampled_from([1, 2, "50%"]), min_size=1, max_size=2).map(tuple)
    operations = tuple(
        msgspec.structs.replace(
            op,
            waves=draw(st.none() | sizes),
            hold_after=draw(st.none() | st.sampled_from(HoldAfter)),
            min_success=draw(st.sampled_from([None, 1, "50%"])),
            dependencies=tuple(msgspec.structs.replace(edge, per=draw(scopes(op))) for edge in op.dependencies),
        )
        for op in flow.operations
    )
    flow = msgspec.structs.replace(flow, operations=operations)
    world = draw(worlds(flow))
    return Case(flow, catalogue, world, build(flow, catalogue, world))


@settings(any_speed, max_examples=share(800))
@given(waved())
def test_every_gate_of_a_plan_can_be_reached(case: Case) -> None:
    """There is a plan without a circle, or a problem that says why not; no wave is larger than it may be."""
    if case.built.plan is None:
        assert any(one.severity is Severity.ERROR for one in case.built.diagnostics)
        return
    plan = case.plan
    assert plan_flaws(plan) == ()
    estimate(plan)
    plan_index(plan)
    for op, waves in zip(plan.operations, planned_waves(plan), strict=True):
        asked = next(one for one in case.flow.operations if one.id == op.id)
        servers = {server_of(s) for s in plan.steps if s.operation == op.id and (s.traits.retries or s.adopts)}
        assert waves.sizes == () or list(waves.sizes) == wave_sizes(asked.waves or (), len(servers))
        gates = [step for step in plan.steps if step.operation == op.id and step.traits.holds]
        assert len(gates) == max(0, len(waves.sizes) - 1)
        for gate in gates:
            before = {s.id for s in plan.steps if s.operation == op.id and s.wave == gate.wave - 1 and s.counted}
            assert before <= {need.step for need in gate.needs}
