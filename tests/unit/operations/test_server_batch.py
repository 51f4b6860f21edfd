"""Server operations: create what is not there, keep what matches, refuse what differs."""

from __future__ import annotations

import msgspec
import pytest

from batchwright.model.actions import Action, Undo
from batchwright.model.call_outcome import Observed, ServerState
from batchwright.model.diagnostic import Diagnostic, Severity
from batchwright.model.environment import Resource
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.plan import ServerFacts
from batchwright.model.workflow import OnFailure, Retry, ServerConfig, Workflow
from batchwright.plan import Observations, PlanResult, build
from batchwright.testing.plans import empty_world, plan_of, servers, workflow

FOUND = Observed("ref-1", ServerState.READY, "web-01", plan="1xCPU-2GB", zone="de-fra1", image="debian-12")
ONE = workflow(servers("made", "web-01"))


def with_managed(flow: Workflow, *managed: Observed) -> Observations:
    """The empty world, in which UpCloud now has these servers."""
    world = empty_world(flow)
    by_name: dict[str, tuple[Observed, ...]] = {}
    for one in managed:
        by_name[one.name] = (*by_name.get(one.name, ()), one)
    provider = msgspec.structs.replace(world.providers["upcloud"], managed=by_name)
    return Observations({**world.providers, "upcloud": provider})


def built_with(*managed: Observed, flow: Workflow = ONE) -> PlanResult:
    return build(flow, {}, with_managed(flow, *managed))


def changed(**fields: object) -> Observed:
    return msgspec.structs.replace(FOUND, **fields)


def test_facts_are_for_planning_and_change_neither_the_steps_nor_the_hash() -> None:
    world = empty_world(ONE).providers["upcloud"]
    told = {"web-01": msgspec.structs.replace(world.requests["web-01"], facts=ServerFacts(2048, 2))}
    plan = plan_of(ONE, {}, Observations({"upcloud": msgspec.structs.replace(world, requests=told)}))
    assert plan == plan_of(ONE, {})
    assert plan.hash() == plan_of(ONE, {}).hash()


def test_a_server_that_is_not_there_is_created_and_undone_by_destroying_it() -> None:
    (step,) = plan_of(ONE, {}).steps
    assert (step.id, step.action, step.undo) == ("made/web-01", Action.CREATE, Undo.DESTROY)
    assert step.request.name == "web-01"
    assert step.seconds == 30.0


def test_a_server_that_was_there_before_is_undone_by_letting_it_go() -> None:
    world = empty_world(ONE)
    stays = msgspec.structs.replace(world.providers["upcloud"], destroys=False)
    (step,) = plan_of(ONE, {}, Observations({"upcloud": stays})).steps
    assert (step.action, step.undo) == (Action.CREATE, Undo.RELEASE)


@pytest.mark.parametrize("state", [ServerState.READY, ServerState.STARTING])
def test_a_server_that_matches_is_kept_and_never_undone(state: ServerState) -> None:
    plan = built_with(changed(state=state)).plan
    assert plan is not None
    (step,) = plan.steps
    assert (step.action, step.undo, step.ref) == (Action.KEEP, Undo.NOTHING, "ref-1")


@pytest.mark.parametrize("state", [ServerState.GONE, ServerState.NOT_VISIBLE])
def test_a_server_that_is_gone_does_not_stand_in_the_way(state: ServerState) -> None:
    plan = built_with(changed(state=state)).plan
    assert plan is not None
    assert plan.steps[0].action is Action.CREATE


def test_a_server_that_differs_is_refused_with_every_field_that_does() -> None:
    built = built_with(changed(plan="2xCPU-4GB", zone="us-nyc1"))
    (problem,) = built.diagnostics
    assert built.plan is None
    assert (problem.code, problem.where) == ("server-differs", "made/web-01")
    assert 'plan is "2xCPU-4GB", the workflow asks for "1xCPU-2GB"; zone is "us-nyc1"' in problem.message


def test_the_image_counts_only_when_the_user_names_one_and_the_provider_tells_it() -> None:
    assert built_with(changed(image="ubuntu-24")).plan is not None
    op = servers("made")
    named = workflow(
        msgspec.structs.replace(op, server_configs=(ServerConfig("web-01", "1xCPU-2GB", "de-fra1", image="debian-12"),))
    )
    assert built_with(changed(image="debian-12"), flow=named).plan is not None
    assert built_with(changed(image=""), flow=named).plan is not None
    (problem,) = built_with(changed(image="ubuntu-24"), flow=named).diagnostics
    assert 'image is "ubuntu-24"' in problem.message


def test_two_servers_of_the_same_name_are_refused_with_their_references() -> None:
    (problem,) = built_with(FOUND, changed(ref="ref-2")).diagnostics
    assert problem.code == "server-ambiguous"
    assert "batchwright gc --run" in problem.hint, "E9"
    assert "2 servers" in problem.message
    assert "ref-1 and ref-2" in problem.message


@pytest.mark.parametrize(
    ("state", "code"), [(ServerState.BROKEN, "server-broken"), (ServerState.STOPPING, "server-stopping")]
)
def test_a_server_that_cannot_be_kept_or_replaced_is_refused(state: ServerState, code: str) -> None:
    (problem,) = built_with(changed(state=state, fault=Fault(FaultClass.PERMANENT, "no disk"))).diagnostics
    assert problem.code == code
    assert "no disk" in problem.message
    assert problem.hint


def test_what_providers_and_planning_find_stands_in_one_list() -> None:
    flow = workflow(servers("made", "web-01", "web-02"), servers("other", "db-01", provider="aws"))
    world = with_managed(flow, changed(zone="us-nyc1"))
    unreachable = Diagnostic("provider-unreachable", "aws did not answer", where="aws")
    built = build(flow, {}, Observations({"upcloud": world.providers["upcloud"]}, (unreachable,)))
    assert built.plan is None
    assert [one.code for one in built.diagnostics] == ["provider-unreachable", "server-differs"]


def test_a_server_nobody_said_anything_about_is_refused() -> None:
    built = build(ONE, {}, Observations())
    assert built.plan is None
    assert [one.code for one in built.diagnostics] == ["server-unresolved"]


def test_warnings_of_the_loader_are_part_of_the_plan_and_do_not_stop_it() -> None:
    warning = Diagnostic("plan-normalised", 'plan "1xCPU-2 GB" is read as "1xCPU-2GB"', severity=Severity.WARNING)
    built = build(ONE, {}, empty_world(ONE), warnings=(warning,), simulation={"seed": 7})
    assert built.plan is not None
    assert built.plan.warnings == (warning,) == built.diagnostics
    assert built.plan.simulation == {"seed": 7}


def test_operations_keep_the_order_of_the_file_as_far_as_dependencies_let_them() -> None:
    flow = workflow(servers("late", "a", after=["early"]), servers("free", "b"), servers("early", "c"))
    assert [op.id for op in plan_of(flow, {}).operations] == ["free", "early", "late"]
    flow = workflow(servers("first", "a"), servers("second", "b", after=["first"]), servers("third", "c"))
    assert [op.id for op in plan_of(flow, {}).operations] == ["first", "second", "third"]


def test_an_operation_takes_on_failure_of_the_workflow_unless_it_has_its_own() -> None:
    own = servers("own", "a", on_failure=OnFailure.ROLLBACK, retry=Retry(5, 2.0, 9.0), timeout=7.0)
    plan = plan_of(workflow(own, servers("plain", "b", soft=["own"]), on_failure=OnFailure.STOP), {})
    assert [op.on_failure for op in plan.operations] == [OnFailure.ROLLBACK, OnFailure.STOP]
    first = plan.operations[0]
    assert (first.type, first.lane, first.retry.max_attempts, first.timeout) == ("server_batch", "upcloud", 5, 7.0)
    assert plan.operations[1].dependencies == workflow(servers("x", soft=["own"])).operations[0].dependencies


def test_only_providers_that_hold_servers_are_in_the_plan_sorted() -> None:
    flow = workflow(servers("a", "x"), servers("b", "y", provider="aws"))
    assert [facts.name for facts in plan_of(flow, {}).providers] == ["aws", "upcloud"]


def test_an_operation_before_another_is_one_edge_however_many_servers_they_have() -> None:
    many = [f"a{n}" for n in range(1000)]
    plan = plan_of(
        workflow(servers("first", *many), servers("second", *(f"b{n}" for n in range(1000)), after=["first"])), {}
    )
    assert len(plan.steps) == 2000
    assert sum(len(step.needs) for step in plan.steps) == 0
    assert sum(len(op.dependencies) for op in plan.operations) == 1


def test_a_server_of_a_run_that_the_store_does_not_know_is_never_kept() -> None:
    theirs = changed(run="theirs")
    world = msgspec.structs.replace(with_managed(ONE, theirs), strangers=frozenset({"theirs"}))
    result = build(ONE, {}, world)
    assert result.plan is None
    (problem,) = result.diagnostics
    assert (problem.code, problem.where) == ("server-exists", "made/web-01")
    assert "ref-1" in problem.message
    assert "theirs" in problem.message
    assert build(ONE, {}, msgspec.structs.replace(world, strangers=frozenset({"others"}))).plan is not None


@pytest.mark.parametrize("whole", [True, False])
def test_a_server_whose_run_did_not_see_it_alone_is_kept_with_a_look(whole: bool) -> None:
    place = {"provider": "upcloud", "account": "upcloud-test"}
    own = Resource("server", "web-01", **place, ref="ref-1", run="ours", changed_by="ours", whole=whole)
    world = msgspec.structs.replace(with_managed(ONE, changed(run="ours")), resources=(own,))
    (step,) = plan_of(ONE, {}, world).steps
    assert (step.action, step.unclear) == (Action.KEEP, not whole)
