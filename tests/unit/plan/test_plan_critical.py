"""The estimate: the critical path through a plan, the work in it, and the least time it can take."""

from __future__ import annotations

import msgspec

from batchwright.model.plan import Plan
from batchwright.model.taskserv import Taskserv
from batchwright.plan import estimate
from batchwright.testing.plans import plan_of, servers, taskservs, workflow

CATALOGUE = {name: Taskserv(name, "1", "", 10.0) for name in ("a", "b")}


def with_seconds(plan: Plan, **seconds: float) -> Plan:
    """The plan with other estimates; a key is a server's or a task service's name, with _ for -."""
    steps = tuple(
        msgspec.structs.replace(step, seconds=seconds.get(step.request.name.replace("-", "_"), step.seconds))
        for step in plan.steps
    )
    return msgspec.structs.replace(plan, steps=steps)


def test_an_operation_waits_for_the_slowest_step_of_what_it_depends_on() -> None:
    flow = workflow(servers("made", "fast", "slow"), taskservs("on", "a", "b", after=["made"]), parallel_limit=10)
    found = estimate(with_seconds(plan_of(flow, CATALOGUE), fast=1.0, slow=50.0))
    assert found.critical_path == ("made/slow", "on/fast/a", "on/fast/b")
    assert found.critical_seconds == 70.0
    assert found.work == 91.0
    assert found.least == 70.0


def test_a_low_limit_makes_the_work_the_bound() -> None:
    flow = workflow(servers("made", *(f"web-{n}" for n in range(100))), parallel_limit=4)
    found = estimate(plan_of(flow, CATALOGUE))
    assert (found.critical_seconds, found.work, found.least) == (30.0, 3000.0, 750.0)


def test_of_two_ways_the_longer_one_counts() -> None:
    flow = workflow(
        servers("root", "r"),
        servers("left", "l", after=["root"]),
        servers("right", "x", soft=["root"]),
        servers("end", "e", after=["left"], soft=["right"]),
    )
    found = estimate(with_seconds(plan_of(flow, CATALOGUE), l=5.0, x=80.0))
    assert found.critical_path == ("root/r", "right/x", "end/e")
    assert found.critical_seconds == 140.0
