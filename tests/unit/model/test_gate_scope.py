"""What a yes lets through: a wave and all that follows it, up to the next question."""

from __future__ import annotations

from msgspec.structs import replace

from batchwright.model import events as ev
from batchwright.model.gate_scope import let_through
from batchwright.model.plan import Plan
from batchwright.model.run import Run
from batchwright.model.workflow import Dependency, DependencyKind, DependencyScope, HoldAfter
from batchwright.operations.approval import Approval
from batchwright.testing.plans import command, plan_of, servers, workflow

THREE = ("s0", "s1", "s2")


def lets_through(plan: Plan, step: str) -> list[str]:
    run = Run(ev.RunCreated(1.0, "run", plan))
    return [plan.steps[i].id for i in let_through(run, run.step(step))]


def rolling(hold_after: HoldAfter) -> Plan:
    """Three servers one by one, a program on each as soon as it is there, and one when all are done."""
    per = replace(command("see", "x", targets=("up",)), dependencies=(Dependency("up", per=DependencyScope.SERVER),))
    up = servers("up", *THREE, waves=(1,), hold_after=hold_after)
    return plan_of(workflow(up, per, command("last", "y", after=["up"])), {})


def test_a_gate_lets_through_what_follows_its_wave_too() -> None:
    plan = rolling(HoldAfter.FIRST)
    assert lets_through(plan, "up/(wave 2)") == ["up/s1", "up/s2", "see/s1", "see/s2", "last/run"]


def test_what_is_asked_about_later_is_not_let_through_yet() -> None:
    plan = rolling(HoldAfter.EACH)
    assert lets_through(plan, "up/(wave 2)") == ["up/s1", "see/s1"]
    assert lets_through(plan, "up/(wave 3)") == ["up/s2", "see/s2", "last/run"]


def test_an_approval_lets_through_what_depends_on_it_up_to_the_next_question() -> None:
    plan = plan_of(
        workflow(
            Approval("one", "Go?"),
            command("a", "x", after=["one"]),
            command("despite", "x", soft=["a"]),
            Approval("two", "On?", dependencies=(Dependency("a"),)),
            command("b", "x", after=["two", "one"]),
            command("beside", "x"),
        ),
        {},
    )
    assert lets_through(plan, "one/ask") == ["a/run", "despite/run", "two/ask"]
    assert lets_through(plan, "two/ask") == ["b/run"]


def test_handlers_of_failures_are_not_what_a_yes_lets_through() -> None:
    handler = (Dependency("go", DependencyKind.FAILED),)
    plan = plan_of(workflow(Approval("go", "Go?"), replace(command("cry", "x"), dependencies=handler)), {})
    assert lets_through(plan, "go/ask") == []
