"""Order: barriers between operations, needs between steps, in both directions, and nothing is freed twice."""

from __future__ import annotations

from collections import deque

import msgspec

from batchwright.engine.step_readiness import ReadinessTracker
from batchwright.model.plan import Need, Plan, Step
from batchwright.model.workflow import DependencyKind
from tests.unit.engine.stage import QUICK, Part, installs, operation, plan_of, servers


def order(plan: Plan, *ended: str, backward: bool = False) -> ReadinessTracker:
    index = {op.id: i for i, op in enumerate(plan.operations)}
    places = [index[step.operation] for step in plan.steps]
    return ReadinessTracker(plan, places, [step.id in ended for step in plan.steps], backward=backward)


def freed(plan: Plan, order: ReadinessTracker) -> list[str]:
    names = [plan.steps[i].id for i in order.free]
    order.free = deque()
    return names


def end(plan: Plan, order: ReadinessTracker, *steps: str) -> list[str]:
    names = [step.id for step in plan.steps]
    for step in steps:
        order.end(names.index(step))
    return freed(plan, order)


def chain() -> Plan:
    up = servers("up", "a", "b")
    return plan_of(QUICK, up, installs("svc", up, "one", "two", "three", after=["up"]))


def test_an_operation_opens_when_all_steps_before_it_have_ended() -> None:
    plan = chain()
    forward = order(plan)
    assert freed(plan, forward) == ["up/a", "up/b"]
    assert end(plan, forward, "up/a") == []
    assert end(plan, forward, "up/b") == ["svc/a/one", "svc/b/one"]
    assert end(plan, forward, "svc/a/one") == ["svc/a/two"]
    assert forward.left == 5


def test_backward_turns_every_edge_around() -> None:
    plan = chain()
    back = order(plan, backward=True)
    assert freed(plan, back) == ["svc/a/three", "svc/b/three"]
    assert end(plan, back, "svc/a/three", "svc/a/two") == ["svc/a/two", "svc/a/one"]
    assert end(plan, back, "svc/a/one", "svc/b/three", "svc/b/two") == ["svc/b/two", "svc/b/one"]
    assert end(plan, back, "svc/b/one") == ["up/a", "up/b"]


def test_a_step_with_nothing_to_undo_hands_on_the_order_of_its_neighbours() -> None:
    plan = chain()
    back = order(plan, "svc/a/two", "svc/b/one", "svc/b/two", "svc/b/three", backward=True)
    assert freed(plan, back) == ["svc/a/three"], "the first waits for the third through the second"
    assert end(plan, back, "svc/a/three") == ["svc/a/one"]


def test_ending_twice_changes_nothing() -> None:
    plan = chain()
    forward = order(plan)
    freed(plan, forward)
    assert end(plan, forward, "up/a", "up/a", "up/a") == []
    assert forward.left == len(plan.steps) - 1


def test_what_ends_out_of_turn_frees_what_is_after_it_only_in_turn() -> None:
    plan = chain()
    forward = order(plan, "up/a", "up/b")
    freed(plan, forward)
    assert end(plan, forward, "svc/a/two") == []
    assert end(plan, forward, "svc/a/one") == ["svc/a/three"]


def test_operations_without_steps_pass_the_barrier_on() -> None:
    hollow: Part = (operation("hollow", after=["first"]), [])
    deeper: Part = (operation("deeper", after=["hollow"]), [])
    plan = plan_of(QUICK, servers("first", "a"), hollow, deeper, servers("last", "z", after=["deeper"]))
    for backward, near, far in ((False, "first/a", "last/z"), (True, "last/z", "first/a")):
        one = order(plan, backward=backward)
        assert freed(plan, one) == [near]
        assert end(plan, one, near) == [far]


def test_only_empty_operations_leave_nothing_to_wait_for() -> None:
    plan = plan_of(QUICK, (operation("a"), []), (operation("b", after=["a"]), []))
    assert order(plan).left == 0
    assert not order(plan).free


def test_what_has_ended_before_is_not_waited_for() -> None:
    plan = chain()
    forward = order(plan, "up/a", "up/b", "svc/a/one")
    assert freed(plan, forward) == ["svc/a/two", "svc/b/one"]
    assert forward.left == 5


def test_soft_needs_wait_like_hard_ones() -> None:
    plan = chain()
    steps = [
        msgspec.structs.replace(s, needs=tuple(Need(n.step, DependencyKind.SOFT) for n in s.needs)) for s in plan.steps
    ]
    soft = msgspec.structs.replace(plan, steps=tuple(steps))
    forward = order(soft, "up/a", "up/b")
    assert freed(soft, forward) == ["svc/a/one", "svc/b/one"]


def test_a_step_with_two_needs_waits_for_both() -> None:
    plan = chain()
    both = tuple(Need(f"svc/a/{name}") for name in ("one", "two"))
    steps = tuple(joined(step, both) for step in plan.steps)
    forward = order(msgspec.structs.replace(plan, steps=steps), "up/a", "up/b", "svc/a/one")
    assert "svc/a/three" not in freed(plan, forward)
    assert end(plan, forward, "svc/a/two") == ["svc/a/three"]


def joined(step: Step, both: tuple[Need, ...]) -> Step:
    return msgspec.structs.replace(step, needs=both) if step.id == "svc/a/three" else step


def test_a_thousand_before_a_thousand_cost_no_million_edges() -> None:
    many = [f"s{i}" for i in range(1_000)]
    plan = plan_of(QUICK, servers("first", *many), servers("then", *[f"t{i}" for i in range(1_000)], after=["first"]))
    forward = order(plan)
    assert len(freed(plan, forward)) == 1_000
    assert end(plan, forward, *[f"first/{name}" for name in many[:-1]]) == []
    assert len(end(plan, forward, f"first/{many[-1]}")) == 1_000
    assert sum(len(after) for after in forward._next) == 1
