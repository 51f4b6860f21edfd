"""Which servers an operation joins to a cluster, which one leads, and which wait for others."""

from __future__ import annotations

from collections.abc import Iterator

from batchwright.model.environment import Resource
from batchwright.model.plan import Need
from batchwright.model.taskserv import Scope
from batchwright.model.workflow import DependencyKind
from batchwright.operations.planner_state import PlannedServer, names_of
from batchwright.operations.taskserv_batch.planner_state import Membership, TaskservDraft
from batchwright.operations.taskserv_batch.structs import Cluster, TaskservBatch, TaskservRequest


def form_clusters(draft: TaskservDraft) -> None:
    """Fill `clusters`: the servers on which one operation installs an entry of scope cluster.

    An entry that requires another such entry joins the same servers, with the same leader.
    """
    for i, op in draft.of(TaskservBatch):
        for name in draft.sequence[i]:
            if draft.catalogue[name].scope is Scope.CLUSTER:
                _form(draft, i, op, name)


def _form(draft: TaskservDraft, i: int, op: TaskservBatch, name: str) -> None:
    groups: dict[tuple[int, ...], list[PlannedServer]] = {}
    for place, install in zip(draft.targets[i], draft.installs[i], strict=True):
        if name in install.hard:
            below = {draft.clusters[one, place.number].leader.number for one in _below(draft, name, place)}
            groups.setdefault(tuple(sorted(below)), []).append(place)
    for leaders, members in groups.items():
        members = _led_as_before(draft, op, name, members)
        if leaders and leaders != (members[0].number,):
            _refuse_headless(draft, op, name, members)
        for number, place in enumerate(members):
            draft.clusters[name, place.number] = Membership(members, number)


def _led_as_before(
    draft: TaskservDraft, op: TaskservBatch, name: str, members: list[PlannedServer]
) -> list[PlannedServer]:
    """The members with the leader first that leads the cluster already: another one would begin a second cluster.

    Refuses a plan that keeps members and has no such leader any more.
    """
    kept = {place.name for place in members if place.ref}
    leaders = {
        leader
        for one in draft.observations.resources
        if (one.kind, one.name) == (TaskservRequest.kind(), name) and one.server in kept and one.whole
        if (leader := _leader_of(one))
    }
    if len(leaders) != 1:
        return members
    (leader,) = leaders
    if leader in kept:
        return sorted(members, key=lambda place: place.name != leader)
    draft.refuse(
        "cluster-leader",
        f'"{name}" on {names_of([place for place in members if place.ref])} belongs to the cluster led by {leader}, '
        "which would go",
        op.id,
        f"Keep {leader}, or destroy the whole cluster first.",
    )
    return members


def _leader_of(one: Resource) -> str:
    cluster = one.request.get("cluster") or {}
    return str(cluster.get("leader", "")).rpartition("/")[2]


def _below(draft: TaskservDraft, name: str, place: PlannedServer) -> Iterator[str]:
    """What an entry requires that joined this server to others."""
    for requirement in draft.catalogue[name].requires:
        for one in draft.provided.get(requirement, ()):
            if one != name and one in place.installed and (one, place.number) in draft.clusters:
                yield one


def _refuse_headless(draft: TaskservDraft, op: TaskservBatch, name: str, members: list[PlannedServer]) -> None:
    one = next(_below(draft, name, members[0]))
    leader = draft.clusters[one, members[0].number].leader.name
    draft.refuse(
        "cluster-without-leader",
        f'"{name}" on {names_of(members)} joins the "{one}" cluster led by {leader}, but is not installed on {leader}',
        op.id,
        f'Add "{leader}" to its targets.',
        "targets",
    )


def cluster_of(draft: TaskservDraft, name: str, place: PlannedServer) -> Cluster | None:
    """The struct with the server's part in its cluster, for the request."""
    part = draft.clusters.get((name, place.number))
    return Cluster(part.leader.step, part.number, len(part.members)) if part else None


def leader_stays(draft: TaskservDraft, name: str, place: PlannedServer) -> bool:
    """Whether the leader survives a rollback, so that it must be told which members leave."""
    part = draft.clusters.get((name, place.number))
    return part is not None and not part.leader.made


def cluster_needs(draft: TaskservDraft, op: TaskservBatch, name: str, place: PlannedServer) -> list[Need]:
    """The leader waits until its requirements have ended on all servers; the others wait for the leader's success.

    A server that could not join does not prevent the leader from serving the others.
    """
    part = draft.clusters.get((name, place.number))
    if part is None:
        return []
    if part.number:
        return [Need(f"{op.id}/{part.leader.name}/{name}")]
    at = draft.index[op.id]
    return [
        Need(f"{op.id}/{other.name}/{one}", DependencyKind.SOFT)
        for one in _below(draft, name, place)
        for other in draft.clusters[one, place.number].members
        if other is not place and other.installed[one] == at
    ]
