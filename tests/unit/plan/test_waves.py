"""Waves, gates, numbers of steps that must succeed, and dependencies per server, as a plan has them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from batchwright.model.actions import Action
from batchwright.model.call_outcome import Observed, ServerState
from batchwright.model.environment import Resource
from batchwright.model.plan import Hold, Plan, Step
from batchwright.model.taskserv import Scope, Taskserv
from batchwright.model.workflow import (
    Changes,
    Dependency,
    DependencyKind,
    DependencyScope,
    HoldAfter,
    OnExpiry,
    Permission,
    WaveHold,
)
from batchwright.operations.approval import Approval
from batchwright.operations.server_batch import ServerRequest
from batchwright.operations.waves import wave_sizes
from batchwright.plan import Observations, PlanResult, build, estimate
from batchwright.plan.build import told_by_the_file
from batchwright.plan.plan_soundness import plan_flaws
from batchwright.testing.plans import command, empty_world, plan_of, servers, taskservs, workflow

SOFT = DependencyKind.SOFT
CATALOGUE = {
    "nginx": Taskserv("nginx", "1", "", 5.0),
    "agent": Taskserv("agent", "1", "", 5.0),
    "site": Taskserv("site", "1", "", 5.0, requires=("nginx",)),
    "swarm": Taskserv("swarm", "1", "", 5.0, scope=Scope.CLUSTER),
    "mesh": Taskserv("mesh", "1", "", 5.0, scope=Scope.CLUSTER, requires=("swarm",)),
}


def per_server(op: str, kind: DependencyKind = DependencyKind.HARD) -> Dependency:
    return Dependency(op, kind, DependencyScope.SERVER)


def web(*names: str, on: tuple[Dependency, ...] = (per_server("up"),), op: str = "web", **rest: Any) -> Any:
    return replace(taskservs(op, *(names or ("nginx",))), dependencies=on, **rest)


def planned(*operations: Any, **rest: Any) -> Plan:
    plan = plan_of(workflow(*operations, **rest), CATALOGUE)
    assert plan_flaws(plan) == ()
    estimate(plan)
    return plan


def refused(*operations: Any) -> list[tuple[str, str, str]]:
    flow = workflow(*operations)
    result = build(flow, CATALOGUE, empty_world(flow))
    assert result.plan is None
    return [(one.code, one.where, one.field) for one in result.diagnostics if one.severity == "error"]


def needs(plan: Plan, step: str) -> dict[str, DependencyKind]:
    return {need.step: need.kind for need in next(one for one in plan.steps if one.id == step).needs}


def waves_of(plan: Plan, op: str) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for step in plan.steps:
        if step.operation == op and not step.traits.holds:
            found.setdefault(step.wave, []).append(step.id.removeprefix(f"{op}/"))
    return found


@pytest.mark.parametrize(
    ("waves", "count", "sizes"),
    [
        ([1, 5, "50%"], 20, [1, 5, 10, 4]), ([1], 3, [1, 1, 1]), (["1%"], 3, [1, 1, 1]), (["34%"], 3, [2, 1]),
        ([5], 3, [3]), (["100%"], 7, [7]), ([1, "100%"], 1, [1]), ([1], 0, []), ([2, 1], 5, [2, 1, 1, 1]),
    ],
)  # fmt: skip
def test_the_last_size_repeats_and_shares_are_rounded_up(waves: list[int | str], count: int, sizes: list[int]) -> None:
    assert wave_sizes(waves, count) == sizes


def test_a_wave_begins_behind_a_gate_that_waits_for_the_wave_before() -> None:
    plan = planned(servers("up", "a", "b", "c", "d", waves=(1, 2)))
    assert [step.id for step in plan.steps] == [
        "up/a", "up/(wave 2)", "up/b", "up/c", "up/(wave 3)", "up/d",
    ]  # fmt: skip
    assert needs(plan, "up/(wave 2)") == {"up/a": SOFT}
    assert needs(plan, "up/(wave 3)") == {"up/b": SOFT, "up/c": SOFT, "up/(wave 2)": DependencyKind.HARD}
    assert needs(plan, "up/d") == {"up/(wave 3)": DependencyKind.HARD}
    assert waves_of(plan, "up") == {1: ["a"], 2: ["b", "c"], 3: ["d"]}
    assert all(step.hold is None for step in plan.steps)


@pytest.mark.parametrize(
    ("after", "asking"),
    [(HoldAfter.FIRST, [2]), (HoldAfter.EACH, [2, 3]), (HoldAfter.NEVER, []), (None, [])],
)
def test_people_are_asked_after_the_first_or_each_wave_but_the_last(after: HoldAfter, asking: list[int]) -> None:
    plan = planned(servers("up", "a", "b", "c", waves=(1,), hold_after=after))
    gates = [step for step in plan.steps if step.action is Action.GATE]
    assert [step.wave for step in gates if step.hold == Hold()] == asking
    assert [step.wave for step in gates] == [2, 3]


def test_a_wave_asks_whom_the_file_says_and_as_long() -> None:
    said = WaveHold(("lead",), quorum=2, expires=60.0, on_expiry=OnExpiry.GO_ON)
    plan = planned(servers("up", "a", "b", waves=(1,), hold_after=HoldAfter.FIRST, hold=said))
    assert plan.steps[1].hold == Hold(("lead",), 2, 60.0, go_on=True)


def test_one_wave_needs_no_gate() -> None:
    plan = planned(servers("up", "a", "b", waves=(5,), hold_after=HoldAfter.EACH))
    assert [step.id for step in plan.steps] == ["up/a", "up/b"]


def test_all_installs_on_a_server_are_in_its_wave() -> None:
    plan = planned(servers("up", "a", "b", "c"), taskservs("web", "site", "agent", after=["up"], waves=(1, 2)))
    first, second = waves_of(plan, "web")[1], waves_of(plan, "web")[2]
    assert {one.partition("/")[0] for one in first} == {"a"}
    assert {one.partition("/")[0] for one in second} == {"b", "c"}
    assert set(needs(plan, "web/(wave 2)")) == {f"web/a/{name}" for name in ("agent", "nginx", "site")}
    assert all("web/(wave 2)" in needs(plan, f"web/{one}") for one in second)


def test_commands_on_servers_go_in_waves() -> None:
    plan = planned(servers("up", "a", "b"), command("go", "x", after=["up"], targets=("up",), waves=(1,)))
    assert waves_of(plan, "go") == {1: ["a"], 2: ["b"]}


def test_a_cluster_goes_by_the_numbers_of_its_members() -> None:
    plan = planned(servers("up", "a", "b", "c"), taskservs("join", "swarm", after=["up"], waves=(1,)))
    assert waves_of(plan, "join") == {1: ["a/swarm"], 2: ["b/swarm"], 3: ["c/swarm"]}


def test_a_leader_that_waits_for_all_members_does_not_fit_waves() -> None:
    flow = (servers("up", "a", "b"), taskservs("join", "mesh", "swarm", after=["up"], waves=(1,)))
    assert refused(*flow) == [("wave-circle", "join", "waves")]


def world(*there: str, old: str = "") -> tuple[Observations, tuple[Resource, ...]]:
    """Servers that exist: as asked for, or, those named in `old`, of an older plan."""
    flow = workflow(servers("up", "a", "b", "c", "d"))
    seen = empty_world(flow).providers["upcloud"]
    managed, had = {}, []
    for name in there:
        request = seen.requests[name]
        assert isinstance(request, ServerRequest)
        size = "small" if name in old else request.plan
        found = {"plan": size, "zone": request.zone, "image": "debian-12"}
        managed[name] = (Observed(f"ref-{name}", ServerState.READY, name, "run-1", **found),)
        had.append(
            Resource(
                *("server", name), provider="upcloud", account="upcloud-test", ref=f"ref-{name}",
                run="run-1", token=name, made_by="run-1", made_turn=1, operation="up", whole=True,
                request=msgspec.to_builtins(replace(request, plan=size)),
            )
        )  # fmt: skip
    providers = {"upcloud": replace(seen, managed=managed)}
    return Observations(providers, resources=tuple(had)), tuple(had)


def in_world(*operations: Any, there: str, old: str = "") -> PlanResult:
    flow = workflow(*operations, changes=Changes(replace=Permission.ALLOWED))
    return build(flow, CATALOGUE, world(*there, old=old)[0])


def test_only_what_changes_is_in_a_wave() -> None:
    plan = in_world(servers("up", "a", "b", "c", "d", waves=("50%",)), there="ac").plan
    assert plan is not None
    assert waves_of(plan, "up") == {0: ["a", "c"], 1: ["b"], 2: ["d"]}
    assert needs(plan, "up/(wave 2)") == {"up/b": SOFT}
    same = in_world(servers("up", "a", "b", waves=(1,)), there="ab").plan
    assert same is not None
    assert [step.id for step in same.steps] == ["up/a", "up/b"]


def test_a_server_that_is_replaced_goes_in_the_wave_of_the_new_one() -> None:
    result = in_world(servers("up", "a", "b", waves=(1,), min_success=1), web(), there="ab", old="ab")
    plan = result.plan
    assert plan is not None
    assert waves_of(plan, "up") == {1: ["a!old", "a"], 2: ["b!old", "b"]}
    assert set(needs(plan, "up/b")) == {"up/b!old", "up/(wave 2)"}
    assert set(needs(plan, "up/b!old")) == {"up/(wave 2)"}
    assert set(needs(plan, "up/(wave 2)")) == {"up/a!old", "up/a", "web/a/nginx"}
    assert [step.id for step in plan.steps if step.operation == "up" and step.counted] == ["up/a", "up/b"]
    assert not result.diagnostics
    assert plan_flaws(plan) == ()


def test_servers_that_are_replaced_bare_are_warned_of() -> None:
    web_after_all = taskservs("web", "nginx", after=["up"])
    result = in_world(servers("up", "a", "b", waves=(1,)), web_after_all, there="ab", old="ab")
    [warning] = result.diagnostics
    assert (warning.code, warning.where) == ("replace-without-services", "up")
    assert "a and b" in warning.message
    new = in_world(servers("up", "a", "b", waves=(1,)), web_after_all, there="")
    assert not new.diagnostics


def test_a_step_waits_for_the_steps_on_its_own_server() -> None:
    plan = planned(servers("up", "a", "b"), web("site"), web("agent", on=(per_server("web"),), op="top"))
    assert needs(plan, "web/a/nginx") == {"up/a": SOFT}
    assert needs(plan, "web/a/site") == {"up/a": SOFT, "web/a/nginx": DependencyKind.HARD}
    assert needs(plan, "top/b/agent") == {"web/b/nginx": SOFT, "web/b/site": SOFT}


def test_a_wave_ends_with_what_follows_on_its_servers_however_far() -> None:
    plan = planned(
        servers("up", "a", "b", waves=(1,)), web("site"), web("agent", on=(per_server("web"),), op="top"),
        command("go", "x", after=["top"], targets=("up",)),
    )  # fmt: skip
    assert set(needs(plan, "up/(wave 2)")) == {"up/a", "web/a/nginx", "web/a/site", "top/a/agent"}


def test_a_wave_that_would_wait_for_itself_is_refused() -> None:
    whole = command("all", "x", after=["up"])
    both = web("nginx", on=(per_server("up"), Dependency("all")))
    assert refused(servers("up", "a", "b", waves=(1,)), whole, both) == [("wave-circle", "up", "waves")]
    planned(servers("up", "a", "b"), whole, both)


def test_where_a_dependency_per_server_cannot_work_the_plan_says_so() -> None:
    up = servers("up", "a", "b")
    code = ("per-server-nowhere", "dependencies.0")
    cases = [
        (up, command("here", "x"), web("nginx", on=(per_server("here"), Dependency("up")))),
        (up, replace(command("web", "x"), dependencies=(per_server("up"),))),
        (up, replace(servers("web", "c"), dependencies=(per_server("up"),))),
        (up, servers("other", "c"), web("nginx", on=(per_server("other"), Dependency("up")), targets=("up",))),
    ]
    for operations in cases:
        assert [(one, field) for one, _, field in refused(*operations)] == [code], operations
    [cluster] = refused(up, web("swarm"))
    assert cluster == ("per-server-cluster", "web", "dependencies.0")
    partly = told_by_the_file(
        workflow(up, servers("more", "c"), web("nginx", on=(per_server("up"), Dependency("more")))), CATALOGUE
    )
    assert [(one.code, "on c" in one.message) for one in partly] == [("per-server-partly", True)]


def test_what_is_required_must_be_there_on_the_same_server() -> None:
    up = servers("up", "a", "b")
    base = taskservs("base", "nginx", after=["up"])
    planned(up, base, web("site", on=(per_server("base"),), op="top"))
    part = web("agent", on=(per_server("base"),), op="part", targets=("a",))
    assert refused(up, base, part, web("site", on=(Dependency("part"),), op="top")) == [
        ("requirement-unordered", "top", "dependencies")
    ]
    planned(up, base, part, web("site", on=(Dependency("part"),), op="top", targets=("a",)))


def test_more_must_not_succeed_than_there_are() -> None:
    up = servers("up", "a", "b", min_success=3)
    assert refused(up) == [("min-success-too-large", "up", "min_success")]
    assert [one.code for one in told_by_the_file(workflow(up), CATALOGUE)] == ["min-success-too-large"]
    services = taskservs("web", "site", after=["up"], min_success=5)
    assert refused(servers("up", "a", "b"), services) == [("min-success-too-large", "web", "min_success")]
    plan = planned(servers("up", "a", "b", min_success="50%"), replace(services, min_success=4))
    assert [op.min_success for op in plan.operations] == ["50%", "4"]


def test_a_plan_from_a_file_may_not_wait_for_itself() -> None:
    plan = planned(servers("up", "a", "b", waves=(1,)), web())

    def changed(step: str, **fields: Any) -> tuple[str, ...]:
        steps = tuple(replace(one, **fields) if one.id == step else one for one in plan.steps)
        return plan_flaws(replace(plan, steps=steps))

    by_id: dict[str, Step] = {step.id: step for step in plan.steps}
    gate = by_id["up/(wave 2)"]
    assert "wait for one another" in changed("up/a", needs=by_id["up/b"].needs)[0]
    assert changed("up/(wave 2)", wave=0)
    elsewhere = "web/a/nginx waits for a step that is not in its operation"
    assert elsewhere in changed("web/a/nginx", needs=by_id["web/b/nginx"].needs)
    assert changed("up/(wave 2)", needs=(*gate.needs, *by_id["web/b/nginx"].needs))


def test_a_plan_from_a_file_may_ask_people() -> None:
    planned(servers("up", "a", after=["ok"]), Approval("ok", "Go?"))
