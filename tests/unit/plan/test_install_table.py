"""The decision table of installs and commands: what the environment has, what the file asks for, what is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from batchwright.model.actions import Action, Undo
from batchwright.model.call_outcome import Observed, ServerState
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.environment import Resource
from batchwright.model.plan import FieldChange, Step
from batchwright.model.taskserv import Scope, Taskserv
from batchwright.model.workflow import Changes, Permission, Workflow
from batchwright.operations.server_batch import ServerRequest
from batchwright.operations.taskserv_batch import Cluster, TaskservBatch, TaskservRequest, TaskservUse
from batchwright.operations.taskserv_batch.install_difference import install_changes
from batchwright.plan import Observations, PlanResult, build
from batchwright.plan.build import wanted_installs
from batchwright.testing.plans import command, empty_world, servers, taskservs, workflow

SECRET = {"env": "PASSWORD"}
ENTRY: dict[str, Any] = {
    "name": "web",
    "version": "1.22",
    "summary": "web",
    "seconds": 10,
    "digest": "d" * 64,
    "variables": {
        "port": {"type": "port", "summary": "the port", "default": 80},
        "bind": {"type": "string", "summary": "the address", "optional": True},
        "tls": {"type": "boolean", "summary": "whether", "default": False},
        "password": {"type": "secret", "summary": "the password", "optional": True},
    },
}
RAN = TaskservRequest("web", "1.22", "default", {"port": 80, "tls": False}, digest="d" * 64)


def catalogue(**fields: object) -> dict[str, Taskserv]:
    return {"web": msgspec.convert(ENTRY | fields, Taskserv)}


def flow(
    *names: str, variables: Mapping[str, object] = {}, operation: str = "up", reinstall: Sequence[str] = ()
) -> Workflow:
    """Servers of these names and the task service on them."""
    made = servers(operation, *names)
    uses = msgspec.convert([{"name": "web", "variables": dict(variables)}], tuple[TaskservUse, ...])
    on = TaskservBatch("on", "upcloud", uses, taskservs("on", after=[operation]).dependencies)
    return workflow(made, on, changes=Changes(reinstall=tuple(reinstall)))


def server(name: str, ref: str = "") -> Resource:
    request = msgspec.to_builtins(ServerRequest(name, "1xCPU-2GB", "de-fra1", image="debian-12"))
    ref = ref or f"ref-{name}"
    return Resource("server", name, provider="upcloud", account="upcloud-test", ref=ref, run="r", request=request)


def install(name: str, request: TaskservRequest = RAN, ref: str = "", **fields: object) -> Resource:
    builtins = msgspec.to_builtins(request)
    base = Resource("taskserv", "web", name, "upcloud", ref=ref or f"ref-{name}", address="10.0.0.1", request=builtins)
    return replace(base, **fields)


def planned(
    wanted: Workflow, *resources: Resource, entries: Mapping[str, Taskserv] | None = None, retire: bool = False
) -> PlanResult:
    """The plan where the servers among the resources are there, at one address."""
    world = empty_world(wanted)
    there = {
        one.name: (
            Observed(one.ref, ServerState.READY, one.name, address="10.0.0.1", plan="1xCPU-2GB", zone="de-fra1"),
        )
        for one in resources
        if not one.server
    }
    upcloud = replace(world.providers["upcloud"], managed=there)
    seen = Observations({"upcloud": upcloud}, requests=world.requests, resources=resources)
    permission = Permission.REQUESTED if retire else Permission.REFUSED
    return build(wanted, entries or catalogue(), seen, retire=permission)


def step_of(result: PlanResult, step: str) -> Step:
    assert result.plan is not None, result.diagnostics
    (found,) = [one for one in result.plan.steps if one.id == step]
    return found


def test_none_and_wanted_is_installed_and_removed_or_goes_with_its_server() -> None:
    fresh, there = step_of(planned(flow("a")), "on/a/web"), step_of(planned(flow("a"), server("a")), "on/a/web")
    assert [(one.action, one.undo, one.changes) for one in (fresh, there)] == [
        (Action.INSTALL, Undo.WITH_SERVER, ()),
        (Action.INSTALL, Undo.REMOVE, ()),
    ]


def test_there_whole_and_equal_is_kept_and_no_rollback_takes_it_away() -> None:
    kept = step_of(planned(flow("a"), server("a"), install("a")), "on/a/web")
    assert (kept.action, kept.undo, kept.changes, kept.server) == (Action.KEEP, Undo.NOTHING, (), "up/a")
    assert kept.request == RAN


ADDRESS = {"bind": "${server.address}"}
DIFFERS: list[tuple[str, Resource, dict[str, object], dict[str, object], list[FieldChange]]] = [
    ("not whole", install("a", whole=False), {}, {}, [FieldChange("finished", "no", "yes")]),
    ("another value", install("a"), {"port": 81}, {}, [FieldChange("variables.port", "80", "81")]),
    ("a value more", install("a"), {"bind": "::"}, {}, [FieldChange("variables.bind", None, "::")]),
    (
        "a value less",
        install("a", replace(RAN, variables={**RAN.variables, "bind": "::"})),
        {},
        {},
        [FieldChange("variables.bind", "::", None)],
    ),
    (
        "a flag is no number",
        install("a", replace(RAN, variables={"port": 80, "tls": 0})),
        {},
        {},
        [FieldChange("variables.tls", "0", "false")],
    ),
    (
        "a secret, by its reference",
        install("a"),
        {"password": SECRET},
        {},
        [FieldChange("variables.password", None, "the variable PASSWORD")],
    ),
    ("another version", install("a"), {}, {"version": "1.24"}, [FieldChange("version", "1.22", "1.24")]),
    (
        "another variant",
        install("a"),
        {},
        {"variants": {"upcloud": {}}},
        [FieldChange("variant", "default", "upcloud")],
    ),
    ("an edited entry", install("a"), {}, {"digest": "e" * 64}, [FieldChange("entry", "d" * 12, "e" * 12)]),
    ("an unknown entry", install("a", replace(RAN, digest="")), {}, {}, [FieldChange("entry", None, "d" * 12)]),
    (
        "neither entry is known",
        install("a", replace(RAN, digest="")),
        {},
        {"digest": ""},
        [FieldChange("entry", None, None)],
    ),
    (
        "another address of its server",
        install("a", replace(RAN, variables={**RAN.variables, **ADDRESS}), address="10.0.0.9"),
        ADDRESS,
        {},
        [FieldChange("server.address", "10.0.0.9", "10.0.0.1")],
    ),
]


@pytest.mark.parametrize(
    ("found", "variables", "entry", "changes"), [row[1:] for row in DIFFERS], ids=[row[0] for row in DIFFERS]
)
def test_there_and_different_is_installed_again_and_says_in_what(
    found: Resource, variables: dict[str, object], entry: dict[str, object], changes: Sequence[FieldChange]
) -> None:
    again = step_of(planned(flow("a", variables=variables), server("a"), found, entries=catalogue(**entry)), "on/a/web")
    assert (again.action, list(again.changes)) == (Action.INSTALL, list(changes))
    former = found.before(msgspec.convert(found.request, TaskservRequest))
    assert (again.undo, again.before) == (Undo.RESTORE, former)


def test_where_a_stopped_server_may_get_another_address_what_names_it_is_installed_again() -> None:
    found = install("a", replace(RAN, variables={**RAN.variables, **ADDRESS}))
    assert list(install_changes(found, replace(RAN, variables={**RAN.variables, **ADDRESS}), "")) == [
        FieldChange("server.address", "10.0.0.1", None, known=False)
    ]
    assert install_changes(install("a"), RAN, "") == ()


def test_a_secret_with_the_same_reference_and_an_address_that_nothing_names_are_no_difference() -> None:
    variables = {**RAN.variables, "password": msgspec.convert(SECRET, type(next(iter(_uses(SECRET)))))}
    found = install("a", replace(RAN, variables=variables), address="10.0.0.9")
    assert step_of(planned(flow("a", variables={"password": SECRET}), server("a"), found), "on/a/web").changes == ()


def _uses(secret: dict[str, str]) -> list[Any]:
    (use,) = msgspec.convert([{"name": "web", "variables": {"password": secret}}], tuple[TaskservUse, ...])
    return list(use.variables.values())


@pytest.mark.parametrize("named", ["web", "a", "all"])
def test_what_is_to_be_installed_again_is_although_nothing_changed(named: str) -> None:
    wanted = flow("a", "b", reinstall=[named])
    result = planned(wanted, server("a"), server("b"), install("a"), install("b"))
    again, other = step_of(result, "on/a/web"), step_of(result, "on/b/web")
    assert (again.action, again.changes) == (Action.INSTALL, (FieldChange("reinstall", None, "yes"),))
    assert other.action is (Action.KEEP if named == "a" else Action.INSTALL)


def test_a_name_that_nothing_has_is_refused() -> None:
    result = planned(flow("a", reinstall=["wob"]), server("a"), install("a"))
    (problem,) = [one for one in result.diagnostics if one.severity == "error"]
    assert (problem.code, 'Did you mean "web"?' in problem.hint) == ("reinstall-unknown", True)


def test_an_install_counts_only_on_the_server_that_it_was_made_on() -> None:
    """A server that was replaced has nothing on it, whatever stood on the one before."""
    fresh = step_of(planned(flow("a"), server("a"), install("a", ref="gone")), "on/a/web")
    assert (fresh.action, fresh.undo, fresh.changes) == (Action.INSTALL, Undo.REMOVE, ())


def cluster(name: str, number: int, size: int, leader: str = "up/a") -> Resource:
    return install(name, replace(RAN, cluster=Cluster(leader, number, size)))


def test_a_cluster_that_grows_is_a_difference_on_every_member_and_its_leader_stays() -> None:
    entries = catalogue(scope=Scope.CLUSTER)
    there = (server("a"), server("b"), cluster("a", 0, 2), cluster("b", 1, 2))
    for same in (flow("a", "b"), flow("a", "b", operation="renamed")):
        result = planned(same, *there, entries=entries)
        assert [step_of(result, f"on/{name}/web").action for name in "ab"] == [Action.KEEP, Action.KEEP]
    grown = planned(flow("c", "a", "b"), *there, entries=entries)
    changes = {name: step_of(grown, f"on/{name}/web").changes for name in "abc"}
    assert changes["a"] == (FieldChange("cluster.size", "2", "3"),)
    assert changes["b"] == (FieldChange("cluster.number", "1", "2"), FieldChange("cluster.size", "2", "3"))
    assert changes["c"] == ()


def codes(result: PlanResult) -> list[str]:
    return [one.code for one in result.diagnostics if isinstance(one, Diagnostic)]


def test_there_and_not_wanted_is_removed_at_the_end_where_that_is_allowed_else_named() -> None:
    bare = workflow(servers("up", "a"))
    there = (server("a"), install("a"))
    named = planned(bare, *there)
    assert codes(named) == ["not-in-file"]
    gone = planned(bare, *there, retire=True)
    assert gone.plan is not None
    last = gone.plan.steps[-1]
    assert (last.action, last.undo, last.server) == (Action.RETIRE, Undo.NOTHING, "up/a")
    assert [one.id for one in gone.plan.operations[-1].dependencies] == ["up"]


@pytest.mark.parametrize(("must_leave", "removed"), [(False, False), (True, True)])
def test_there_and_its_server_goes_is_removed_first_only_where_it_must_leave(must_leave: bool, removed: bool) -> None:
    entries = catalogue(remove_before_destroy=must_leave)
    there = (server("a"), server("b"), install("a"), install("b"))
    result = planned(flow("a"), *there, entries=entries, retire=True)
    assert result.plan is not None
    retired = [one.request.name for one in result.plan.steps if one.retired is not None]
    assert retired == (["web", "b"] if removed else ["b"])


def test_a_command_is_run_whatever_was_run_before() -> None:
    wanted = workflow(servers("up", "a"), command("migrate", "true", after=["up"]))
    result = planned(wanted, server("a"), Resource("command", "migrate", operation="migrate"))
    assert step_of(result, "migrate/run").action is Action.RUN


def test_what_goes_on_each_server_is_known_before_any_provider_is_asked() -> None:
    assert wanted_installs(flow("a", "b"), catalogue()) == {"a": frozenset({"web"}), "b": frozenset({"web"})}
    assert wanted_installs(workflow(servers("up", "a")), {}) == {}


def test_what_is_taken_off_a_cluster_goes_one_after_the_other_and_its_leader_last() -> None:
    """Also where the operation that found the leader has another name by now."""
    bare = workflow(servers("renamed", "a", "b", "c"))
    members = [cluster(name, number, 3) for number, name in enumerate("abc")]
    there = [replace(one, made_turn=1, rank=rank) for rank, one in enumerate(members)]
    result = planned(bare, *(server(name) for name in "abc"), *there, retire=True)
    assert result.plan is not None
    steps = {step.request.name + step.server: step for step in result.plan.steps if step.retired is not None}
    leaders = {
        step.request.cluster.leader
        for step in steps.values()
        if isinstance(step.request, TaskservRequest) and step.request.cluster
    }
    assert leaders == {"renamed/a"}
    last = steps["webrenamed/a"]
    assert {need.step for need in last.needs} == {steps["webrenamed/b"].id, steps["webrenamed/c"].id}
    assert steps["webrenamed/b"].needs == ()


def test_what_must_leave_a_cluster_that_goes_finds_its_leader() -> None:
    entries = catalogue(remove_before_destroy=True)
    there = [one for number, name in enumerate("ab") for one in (server(name), cluster(name, number, 2))]
    result = planned(workflow(servers("up", "c")), *there, entries=entries, retire=True)
    assert result.plan is not None
    ids = {step.id for step in result.plan.steps}
    gone = [step.request for step in result.plan.steps if step.retired is not None and step.server]
    assert {one.cluster.leader for one in gone if isinstance(one, TaskservRequest) and one.cluster} == {
        "(find upcloud)/a"
    }
    assert "(find upcloud)/a" in ids
