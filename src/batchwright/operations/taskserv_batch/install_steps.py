"""Task service operations to steps: the chain of installs per server."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from batchwright.model.actions import Action, Undo
from batchwright.model.environment import Resource
from batchwright.model.plan import REINSTALL, Before, FieldChange, Need, Step
from batchwright.model.workflow import DependencyKind
from batchwright.operations.known_values import KnownValues
from batchwright.operations.planner_state import PlannedServer
from batchwright.operations.taskserv_batch.clusters import cluster_needs, cluster_of, leader_stays
from batchwright.operations.taskserv_batch.install_difference import install_changes
from batchwright.operations.taskserv_batch.planner_state import PlannedInstall, TaskservDraft
from batchwright.operations.taskserv_batch.structs import TaskservBatch, TaskservRequest


def chain_installs(draft: TaskservDraft) -> None:
    """Fill the steps of task service operations: on each server one after the other.

    What the environment has already, as it is asked for, is kept. Where servers are joined the steps stand by task
    service, so that each comes after those of other servers it needs.
    """
    known = KnownValues(draft)
    for i, op in draft.of(TaskservBatch):
        steps = [
            step
            for place, install in zip(draft.targets[i], draft.installs[i], strict=True)
            for step in _chain(draft, op, draft.requests[i], place, install, known)
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
    known: KnownValues,
) -> list[Step]:
    steps: list[Step] = []
    prefix = f"{op.id}/{place.name}/"
    for name in install.order:
        required = install.hard[name]
        needs = [Need(prefix + one) for one in required]
        if steps and steps[-1].id.removeprefix(prefix) not in required:
            needs.append(Need(steps[-1].id, DependencyKind.SOFT))  # a server's package manager has one lock
        needs += cluster_needs(draft, op, name, place)
        version = draft.catalogue[name].version_on(place.facts.os, place.facts.release)
        request = replace(requests[name], version=version, cluster=cluster_of(draft, name, place))
        steps.append(_step(draft, op, place, request, tuple(needs), known))
    return steps


def _step(
    draft: TaskservDraft,
    op: TaskservBatch,
    place: PlannedServer,
    request: TaskservRequest,
    needs: tuple[Need, ...],
    known: KnownValues,
) -> Step:
    """What the environment has already as it is asked for stays as it is, and its step only lets others go on."""
    entry, simulated_seconds = draft.catalogue[request.name], draft.observations.install_seconds
    found = draft.recorded.get((place.name, request.name))
    found = found if found is not None and found.ref == place.ref else None
    changes = install_changes(found, request, place.address, known.get) if found is not None else ()
    if found is not None and draft.workflow.changes.reinstalls(place.name, request.name):
        changes = (*changes, FieldChange(REINSTALL, None, "yes"))
    kept = found is not None and not changes
    before = _before(found) if found is not None and changes else None
    must_leave = entry.remove_before_destroy or leader_stays(draft, request.name, place)
    undo = Undo.WITH_SERVER if place.vanishes and not must_leave else Undo.REMOVE
    if before is not None:
        undo = Undo.RESTORE
    elif found is not None or _is_there(draft, place, request.name):
        undo = Undo.NOTHING
    return Step(
        id=f"{op.id}/{place.name}/{request.name}",
        operation=op.id,
        provider=op.provider,
        action=Action.KEEP if kept else Action.INSTALL,
        undo=undo,
        request=request,
        needs=needs,
        server=place.step,
        seconds=0.0 if kept else entry.seconds if simulated_seconds is None else simulated_seconds,
        changes=changes,
        before=before,
    )


def _before(found: Resource) -> Before:
    """What a rollback installs again: also if it is the same, as a failed install may have left it half done."""
    return found.before(msgspec.convert(found.request, TaskservRequest))


def _is_there(draft: TaskservDraft, place: PlannedServer, name: str) -> bool:
    """On the server although no run of this environment put it there: brought up to date, but never taken away."""
    observed = draft.observations.providers.get(place.provider)
    return not place.vanishes and observed is not None and name in observed.installed.get(place.name, ())
