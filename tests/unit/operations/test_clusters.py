"""Servers that an install joins together: who leads, who waits for whom, forward and backward; what cannot be."""

from __future__ import annotations

from itertools import permutations

import msgspec
import pytest

from batchwright.engine.step_readiness import ReadinessTracker
from batchwright.model.actions import Undo
from batchwright.model.call_outcome import Observed, ServerState
from batchwright.model.diagnostic import Diagnostic, Severity
from batchwright.model.plan import Need, Plan, ServerFacts
from batchwright.model.taskserv import Platform, Scope, ServerRequirements
from batchwright.model.workflow import DependencyKind, Workflow
from batchwright.operations.taskserv_batch import Cluster, TaskservRequest, TaskservUse
from batchwright.plan import Observations, build
from batchwright.taskservs.catalogue import load_catalogue
from batchwright.testing.plans import empty_world, plan_of, servers, taskservs, workflow

CATALOGUE = load_catalogue()
MADE = servers("made", "a", "b", "c")
THREE = ("containerd", "kubernetes", "cilium")
SOFT = DependencyKind.SOFT


def needs(plan: Plan, step: str) -> set[tuple[str, str]]:
    (found,) = (one for one in plan.steps if one.id == step)
    return {(need.step, need.kind.value) for need in found.needs}


def joined(plan: Plan, step: str) -> Cluster | None:
    (found,) = (one for one in plan.steps if one.id == step)
    assert isinstance(found.request, TaskservRequest)
    return found.request.cluster


def refused(flow: Workflow) -> Diagnostic:
    (problem,) = [
        one for one in build(flow, CATALOGUE, empty_world(flow)).diagnostics if one.severity is Severity.ERROR
    ]
    return problem


@pytest.mark.parametrize("listed", list(permutations(THREE)))
def test_kubernetes_begins_on_the_first_server_and_cilium_when_all_have_joined(listed: tuple[str, ...]) -> None:
    plan = plan_of(workflow(MADE, taskservs("on", *listed, after=["made"])), CATALOGUE)
    assert [step.id for step in plan.steps if step.server] == [f"on/{at}/{name}" for name in THREE for at in "abc"]
    assert joined(plan, "on/a/containerd") is None
    assert [joined(plan, f"on/{at}/kubernetes") for at in "abc"] == [Cluster("made/a", n, 3) for n in range(3)]
    assert needs(plan, "on/a/kubernetes") == {("on/a/containerd", "hard")}
    assert needs(plan, "on/b/kubernetes") == {("on/b/containerd", "hard"), ("on/a/kubernetes", "hard")}
    assert needs(plan, "on/a/cilium") == {
        ("on/a/kubernetes", "hard"),
        ("on/b/kubernetes", "soft"),
        ("on/c/kubernetes", "soft"),
    }
    assert needs(plan, "on/c/cilium") == {("on/c/kubernetes", "hard"), ("on/a/cilium", "hard")}


def test_each_operation_makes_a_cluster_of_its_own() -> None:
    first = taskservs("first", "etcd", after=["made"], targets=("a",))
    second = taskservs("second", "etcd", after=["made"], targets=("b", "c"))
    plan = plan_of(workflow(MADE, first, second), CATALOGUE)
    assert joined(plan, "first/a/etcd") == Cluster("made/a", 0, 1)
    assert joined(plan, "second/c/etcd") == Cluster("made/b", 1, 2)


def test_what_builds_on_clusters_of_earlier_operations_follows_each_of_them() -> None:
    one = taskservs("one", "kubernetes", "containerd", after=["made"], targets=("a", "c"))
    two = taskservs("two", "kubernetes", "containerd", after=["made"], targets=("b",))
    plan = plan_of(workflow(MADE, one, two, taskservs("net", "cilium", after=["one", "two"])), CATALOGUE)
    assert joined(plan, "net/a/cilium") == Cluster("made/a", 0, 2)
    assert joined(plan, "net/c/cilium") == Cluster("made/a", 1, 2)
    assert joined(plan, "net/b/cilium") == Cluster("made/b", 0, 1)
    assert needs(plan, "net/a/cilium") == set()  # the operations are barriers already
    assert needs(plan, "net/c/cilium") == {("net/a/cilium", "hard")}


def test_a_part_of_a_cluster_without_its_leader_is_refused() -> None:
    one = taskservs("one", "kubernetes", "containerd", after=["made"])
    problem = refused(workflow(MADE, one, taskservs("net", "cilium", after=["one"], targets=("b", "c"))))
    assert problem.code == "cluster-without-leader"
    assert problem.message == '"cilium" on b and c joins the "kubernetes" cluster led by a, but is not installed on a'
    assert problem.hint == 'Add "a" to its targets.'


def test_a_rollback_goes_the_same_way_back() -> None:
    plan = plan_of(workflow(MADE, taskservs("on", *THREE, after=["made"])), CATALOGUE)
    index = {op.id: at for at, op in enumerate(plan.operations)}
    order = ReadinessTracker(
        plan, [index[step.operation] for step in plan.steps], [False] * len(plan.steps), backward=True
    )
    ended: list[str] = []
    while order.free:
        step = order.free.popleft()
        ended.append(plan.steps[step].id)
        order.end(step)
    assert len(ended) == len(plan.steps)
    place = ended.index
    assert max(place("on/b/cilium"), place("on/c/cilium")) < place("on/a/cilium")
    assert place("on/a/cilium") < min(place("on/b/kubernetes"), place("on/c/kubernetes"))
    assert max(place("on/b/kubernetes"), place("on/c/kubernetes")) < place("on/a/kubernetes")


def test_who_joins_a_cluster_that_stays_is_taken_out_before_its_server_is_destroyed() -> None:
    flow = workflow(MADE, taskservs("on", "etcd", after=["made"]))
    seen = empty_world(flow).providers["upcloud"]
    there = Observed("ref-a", ServerState.READY, "a", plan="1xCPU-2GB", zone="de-fra1")
    world = Observations({"upcloud": msgspec.structs.replace(seen, managed={"a": (there,)})})
    plan = plan_of(flow, CATALOGUE, world)
    assert [step.undo for step in plan.steps if step.server] == [Undo.REMOVE] * 3
    assert [step.undo for step in plan_of(flow, CATALOGUE).steps if step.server] == [Undo.WITH_SERVER] * 3


def test_a_cluster_on_top_of_which_nothing_is_gets_no_edges_it_does_not_need() -> None:
    plan = plan_of(workflow(MADE, taskservs("on", "etcd", "nginx", after=["made"])), CATALOGUE)
    assert needs(plan, "on/a/etcd") == set()
    assert needs(plan, "on/a/nginx") == {("on/a/etcd", SOFT.value)}
    assert Need("on/a/etcd") in plan.steps[4].needs


def problem_with(facts: ServerFacts | None = None) -> list[str]:
    entry = msgspec.structs.replace(
        CATALOGUE["nginx"],
        needs=ServerRequirements(cpus=2, own_network=True),
        platforms=(Platform("debian", ("12", "13")), Platform("ubuntu")),
        scope=Scope.SERVER,
    )
    op = taskservs("on", after=["made"], targets=("a",))
    flow = workflow(MADE, msgspec.structs.replace(op, taskservs=(TaskservUse("nginx"),)))
    seen = empty_world(flow).providers["upcloud"]
    requests = {**seen.requests, "a": msgspec.structs.replace(seen.requests["a"], facts=facts)}
    world = Observations({"upcloud": msgspec.structs.replace(seen, requests=requests)})
    return [one.message.removeprefix('"nginx" on a ') for one in build(flow, {"nginx": entry}, world).diagnostics]


def test_needs_are_compared_with_what_the_provider_says_of_each_server() -> None:
    assert problem_with() == []
    assert problem_with(ServerFacts(cpus=2, own_network=True, os="ubuntu", release="24.04")) == []
    assert problem_with(ServerFacts(cpus=1)) == ['needs 2 CPUs, but plan "1xCPU-2GB" has 1']
    assert problem_with(ServerFacts(own_network=False)) == ["needs its own network, but shares one"]
    old = ServerFacts(os="debian", release="11")
    assert problem_with(old) == ["runs on debian 12 or 13 and ubuntu, but the image is debian 11"]
