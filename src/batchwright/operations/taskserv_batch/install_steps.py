"""Task service operations to steps: the chain of installs per server."""

from __future__ import annotations

from msgspec.structs import replace

from batchwright.model.actions import Action, Undo
from batchwright.model.plan import Need, Step
from batchwright.model.workflow import DependencyKind
from batchwright.operations.planner_state import PlannedServer
from batchwright.operations.taskserv_batch.clusters import cluster_needs, cluster_of, leader_stays
from batchwright.operations.taskserv_batch.planner_state import PlannedInstall, TaskservDraft
from batchwright.operations.taskserv_batch.structs import TaskservBatch, TaskservRequest


def chain_installs(draft: TaskservDraft) -> None:
    """Fill the steps of task service operations: on each server one after the other.

    Where servers are joined the steps stand by task service, so that each comes after those of other servers it needs.
    """
    for i, op in draft.of(TaskservBatch):
        steps = [
            step
            for place, install in zip(draft.targets[i], draft.installs[i], strict=True)
            for step in _chain(draft, op, draft.requests[i], place, install)
        ]
        if any(isinstance(step.request, TaskservRequest) and step.request.cluster for step in steps):
            rank = {name: at for at, name in enumerate(draft.sequence[i])}
            steps.sort(key=lambda step: rank[step.request.name])
        draft.steps[i] = steps


def _chain(
    draft: TaskservDraft,
    op: TaskservBatch,
    requests: dict[str, TaskservRequest],
    place: PlannedServer,
    install: PlannedInstall,
) -> list[Step]:
    steps: list[Step] = []
    simulated_seconds = draft.observations.install_seconds
    prefix = f"{op.id}/{place.name}/"
    for name in install.order:
        entry, required = draft.catalogue[name], install.hard[name]
        needs = [Need(prefix + one) for one in required]
        if steps and steps[-1].id.removeprefix(prefix) not in required:
            needs.append(Need(steps[-1].id, DependencyKind.SOFT))  # a server's package manager has one lock
        needs += cluster_needs(draft, op, name, place)
        must_leave = entry.remove_before_destroy or leader_stays(draft, name, place)
        goes_with_server = place.vanishes and not must_leave
        undo = Undo.WITH_SERVER if goes_with_server else Undo.REMOVE
        steps.append(
            Step(
                id=prefix + name,
                operation=op.id,
                provider=op.provider,
                action=Action.INSTALL,
                undo=Undo.NOTHING if _is_there(draft, place, name) else undo,
                request=replace(requests[name], cluster=cluster_of(draft, name, place)),
                needs=tuple(needs),
                server=place.step,
                seconds=entry.seconds if simulated_seconds is None else simulated_seconds,
            )
        )
    return steps


def _is_there(draft: TaskservDraft, place: PlannedServer, name: str) -> bool:
    """Installed before this run, which may bring it up to date but will never take it away."""
    observed = draft.observations.providers.get(place.provider)
    return not place.vanishes and observed is not None and name in observed.installed.get(place.name, ())
