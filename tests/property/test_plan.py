"""What holds of every plan, whatever the workflow: sentences about order, targets, undo and the hash."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from random import Random

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchwright.model.actions import Action, Undo
from batchwright.model.call_outcome import Observed, ServerState
from batchwright.model.diagnostic import Severity
from batchwright.model.plan import Need, Plan, Step
from batchwright.model.taskserv import Scope, Taskserv
from batchwright.model.workflow import (
    Dependency,
    DependencyKind,
    Operation,
    ServerConfig,
    Workflow,
)
from batchwright.operations.server_batch import ServerBatch, ServerRequest
from batchwright.operations.taskserv_batch import Cluster, TaskservBatch, TaskservUse
from batchwright.plan import Observations, PlanResult, build, estimate
from batchwright.testing.plans import empty_world

# how long an example takes depends on the machine and says nothing about the plan
any_speed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])

NAMES = ["a", "b", "c", "d", "e", "f"]


@st.composite
def catalogues(draw: st.DrawFn) -> dict[str, Taskserv]:
    """Entries that require and come after entries of a smaller name, so that there is no circle."""
    entries = {}
    for at, name in enumerate(NAMES):
        before = st.lists(st.sampled_from(NAMES[:at]), unique=True, max_size=2) if at else st.just([])
        entries[name] = Taskserv(
            name,
            "1",
            "",
            draw(st.sampled_from([1.0, 5.0])),
            provides=("choice",) if draw(st.booleans()) else (),
            requires=tuple(draw(before)),
            after=tuple(draw(before)),
            conflicts=tuple(draw(st.lists(st.sampled_from(NAMES), max_size=1))) if draw(st.integers(0, 5)) == 0 else (),
            remove_before_destroy=draw(st.booleans()),
            scope=draw(st.sampled_from(Scope)),
        )
    return entries


@st.composite
def workflows(draw: st.DrawFn) -> Workflow:
    """Any graph of up to eight operations; a dependency goes to an operation of a smaller number."""
    operations: list[Operation] = []
    made: list[str] = []
    for at in range(draw(st.integers(1, 8))):
        chosen = draw(st.lists(st.integers(0, at - 1), unique=True, max_size=3)) if at else []
        kinds = st.sampled_from(DependencyKind)
        dependencies = tuple(Dependency(f"op{number}", draw(kinds)) for number in chosen)
        if draw(st.booleans()) or not made:
            configs = tuple(
                ServerConfig(f"s{at}-{n}", draw(st.sampled_from(["small", "large"])), "zone")
                for n in range(draw(st.integers(1, 3)))
            )
            made += [config.name for config in configs]
            operations.append(ServerBatch(f"op{at}", draw(st.sampled_from(["x", "y"])), configs, dependencies))
        else:
            uses = draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=1, max_size=4))
            targets = draw(st.none() | st.lists(st.sampled_from(made), unique=True, min_size=1, max_size=2).map(tuple))
            operations.append(
                TaskservBatch(f"op{at}", "x", tuple(TaskservUse(use) for use in uses), dependencies, targets)
            )
    order = draw(st.permutations(operations))
    return Workflow("any", "1", tuple(order), parallel_limit=draw(st.integers(1, 4)))


@st.composite
def worlds(draw: st.DrawFn, flow: Workflow) -> Observations:
    """The empty world, or one that holds some of the servers already."""
    providers = {}
    for name, seen in empty_world(flow).providers.items():
        kept = draw(st.lists(st.sampled_from(sorted(seen.requests)), unique=True))
        managed = {server: (_as_asked(seen.requests[server]),) for server in kept}
        providers[name] = msgspec.structs.replace(seen, managed=managed)
    return Observations(providers)


def _as_asked(request: ServerRequest) -> Observed:
    return Observed(f"ref-{request.name}", ServerState.READY, request.name, plan=request.plan, zone=request.zone)


@dataclass(frozen=True)
class Case:
    """A workflow, what there is, and the plan that came of it."""

    flow: Workflow
    catalogue: dict[str, Taskserv]
    world: Observations
    built: PlanResult

    @property
    def plan(self) -> Plan:
        assert self.built.plan is not None
        return self.built.plan


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Any workflow over any catalogue in any world, planned or refused."""
    flow, catalogue = draw(workflows()), draw(catalogues())
    world = draw(worlds(flow))
    return Case(flow, catalogue, world, build(flow, catalogue, world))


def planned() -> st.SearchStrategy[Case]:
    """Those that have a plan."""
    return cases().filter(lambda case: case.built.plan is not None)


def ancestors(flow: Workflow) -> dict[str, set[str]]:
    """The operations each one depends on, the slow and plain way."""
    direct = {op.id: {one.id for one in op.dependencies} for op in flow.operations}
    found = {op: set(before) for op, before in direct.items()}
    for _ in direct:
        for before in found.values():
            before.update(*(direct[op] for op in set(before)))
    return found


def provides(entry: Taskserv, name: str) -> bool:
    return name == entry.name or name in entry.provides


@any_speed
@given(cases())
def test_there_is_a_plan_exactly_when_there_is_no_error_and_errors_are_explained(case: Case) -> None:
    errors = [one for one in case.built.diagnostics if one.severity is Severity.ERROR]
    assert (case.built.plan is None) == bool(errors)
    assert all(one.message and one.where and one.hint for one in case.built.diagnostics if one.code != "taskserv-added")
    assert case.built == build(case.flow, case.catalogue, case.world)


@any_speed
@given(planned())
def test_everything_comes_after_what_it_needs(case: Case) -> None:
    seen_operations: set[str] = set()
    for op in case.plan.operations:
        assert {one.id for one in op.dependencies} <= seen_operations
        seen_operations.add(op.id)
    position = {op.id: at for at, op in enumerate(case.plan.operations)}
    places = [position[step.operation] for step in case.plan.steps]
    assert places == sorted(places)
    seen: dict[str, str] = {}
    for step in case.plan.steps:
        assert step.id not in seen
        assert all(seen[need.step] == step.operation for need in step.needs)
        assert len({need.step for need in step.needs}) == len(step.needs)
        seen[step.id] = step.operation


@any_speed
@given(planned())
def test_a_service_goes_only_on_servers_its_operation_waits_for(case: Case) -> None:
    before = ancestors(case.flow)
    steps = {step.id: step for step in case.plan.steps}
    for op in case.flow.operations:
        servers = [steps[step.server] for step in case.plan.steps if step.operation == op.id and step.server]
        on = {server.request.name for server in servers}
        if isinstance(op, ServerBatch):
            assert on == set()
        elif op.targets is None:
            assert on == {s.request.name for s in steps.values() if not s.server and s.operation in before[op.id]}
        else:
            assert on == set(op.targets)
            assert all(server.operation in before[op.id] for server in servers)


@any_speed
@given(planned())
def test_what_is_required_is_there_first(case: Case) -> None:
    before = ancestors(case.flow)
    on: dict[str, dict[str, str]] = {}
    for step in case.plan.steps:
        if not step.server:
            continue
        entry = case.catalogue[step.request.name]
        there = on.setdefault(step.server, {})
        hard = {need.step.rsplit("/", 1)[1] for need in step.needs if need.kind is DependencyKind.HARD}
        for requirement in entry.requires:
            makers = [name for name in there if provides(case.catalogue[name], requirement)]
            assert provides(entry, requirement) or any(
                name in hard if there[name] == step.operation else there[name] in before[step.operation]
                for name in makers
            )
        there[entry.name] = step.operation


@any_speed
@given(planned())
def test_each_service_is_on_a_server_once_and_beside_nothing_it_conflicts_with(case: Case) -> None:
    on: dict[str, list[str]] = {}
    for step in case.plan.steps:
        if step.server:
            on.setdefault(step.server, []).append(step.request.name)
    for names in on.values():
        assert len(names) == len(set(names))
        for name, other in permutations(names, 2):
            assert not any(provides(case.catalogue[other], refused) for refused in case.catalogue[name].conflicts)
    for op in case.flow.operations:
        if isinstance(op, TaskservBatch):
            done = {step.request.name for step in case.plan.steps if step.operation == op.id}
            assert {use.name for use in op.taskservs} <= done


@any_speed
@given(planned())
def test_only_what_the_plan_makes_is_undone(case: Case) -> None:
    steps = {step.id: step for step in case.plan.steps}
    for step in case.plan.steps:
        if step.action is Action.INSTALL:
            with_server = steps[step.server].action is Action.CREATE
            with_server &= not case.catalogue[step.request.name].remove_before_destroy
            if step.request.cluster is not None:  # a leader that stays is told who leaves
                with_server &= steps[step.request.cluster.leader].action is Action.CREATE
            assert step.undo is (Undo.WITH_SERVER if with_server else Undo.REMOVE)
        else:
            kept = step.request.name in case.world.providers[step.provider].managed
            assert (step.action is Action.KEEP) == kept == (step.undo is Undo.NOTHING) == bool(step.ref)


@any_speed
@given(planned())
def test_clusters_have_one_leader_for_whom_the_others_wait(case: Case) -> None:
    clusters: dict[tuple[str, str, str], list[Step]] = {}
    for step in case.plan.steps:
        if step.server:
            joined = step.request.cluster
            assert (joined is not None) == (case.catalogue[step.request.name].scope is Scope.CLUSTER)
            if joined is not None:
                clusters.setdefault((step.operation, step.request.name, joined.leader), []).append(step)
    for (_, _, leader), members in clusters.items():
        assert [step.request.cluster for step in members] == [
            Cluster(leader, number, len(members)) for number in range(len(members))
        ]
        assert members[0].server == leader
        assert all(Need(members[0].id, DependencyKind.HARD) in step.needs for step in members[1:])


@any_speed
@given(planned())
def test_who_builds_on_a_cluster_waits_for_all_of_it_and_has_its_leader(case: Case) -> None:
    on = {(step.server, step.request.name): step for step in case.plan.steps if step.server}
    for (server, name), step in on.items():
        cluster = step.request.cluster
        if cluster is None:
            continue
        for below in (each for each in on if each[0] == server and each[1] in case.catalogue[name].requires):
            joined = on[below].request.cluster
            if joined is None:
                continue
            assert joined.leader == cluster.leader
            if cluster.number == 0 and on[below].operation == step.operation:
                everyone = {
                    other.id
                    for other in on.values()
                    if (other.operation, other.request.name) == (step.operation, below[1])
                    and other.request.cluster is not None
                    and other.request.cluster.leader == joined.leader
                }
                assert everyone <= {need.step for need in step.needs}


@any_speed
@given(planned())
def test_an_operations_services_come_in_one_order_on_all_its_servers(case: Case) -> None:
    for op in case.plan.operations:
        orders: dict[str, list[str]] = {}
        for step in case.plan.steps:
            if step.server and step.operation == op.id:
                orders.setdefault(step.server, []).append(step.request.name)
        for one, other in permutations(orders.values(), 2):
            both = set(one) & set(other)
            assert [name for name in one if name in both] == [name for name in other if name in both]


@any_speed
@given(cases(), st.randoms(use_true_random=False))
def test_the_order_in_which_services_are_listed_does_not_matter(case: Case, random: Random) -> None:
    def shuffled(op: Operation) -> Operation:
        if isinstance(op, ServerBatch):
            return op
        return msgspec.structs.replace(op, taskservs=tuple(random.sample(op.taskservs, len(op.taskservs))))

    flow = msgspec.structs.replace(case.flow, operations=tuple(shuffled(op) for op in case.flow.operations))
    again = build(flow, case.catalogue, case.world)
    assert (again.plan is None) == (case.built.plan is None)
    if again.plan is not None:
        assert again.plan.hash() == case.plan.hash()


@any_speed
@given(planned(), st.sampled_from(["name", "plan", "zone"]))
def test_the_hash_changes_with_what_is_made(case: Case, field: str) -> None:
    at, op = next((at, op) for at, op in enumerate(case.flow.operations) if isinstance(op, ServerBatch))
    first = msgspec.structs.replace(op.server_configs[0], **{field: "something-else"})
    changed = msgspec.structs.replace(op, server_configs=(first, *op.server_configs[1:]))
    operations = [*case.flow.operations[:at], changed, *case.flow.operations[at + 1 :]]
    if field == "name":
        operations = [_renamed(each, op.server_configs[0].name) for each in operations]
    hashes = set()
    for flow in (case.flow, msgspec.structs.replace(case.flow, operations=tuple(operations))):
        plan = build(flow, case.catalogue, empty_world(flow)).plan
        assert plan is not None
        hashes.add(plan.hash())
    assert len(hashes) == 2


def _renamed(op: Operation, old: str) -> Operation:
    if isinstance(op, ServerBatch) or op.targets is None:
        return op
    return msgspec.structs.replace(op, targets=tuple("something-else" if one == old else one for one in op.targets))


@any_speed
@given(planned())
def test_the_estimate_is_the_longest_way_through_every_single_edge(case: Case) -> None:
    before = ancestors(case.flow)
    ends: dict[str, float] = {}
    for step in case.plan.steps:
        needed = {need.step for need in step.needs}
        waits = [ends[s.id] for s in case.plan.steps if s.id in needed or s.operation in before[step.operation]]
        ends[step.id] = max(waits, default=0.0) + step.seconds
    found = estimate(case.plan)
    seconds = {step.id: step.seconds for step in case.plan.steps}
    assert found.critical_seconds == max(ends.values())
    assert sum(seconds[name] for name in found.critical_path) == found.critical_seconds
    assert found.work == sum(seconds.values())
    assert found.least == max(found.critical_seconds, found.work / case.plan.parallel_limit)
