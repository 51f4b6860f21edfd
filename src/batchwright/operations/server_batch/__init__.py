"""The operation type of servers: the steps that create, keep and replace them, and their words."""

from __future__ import annotations

from typing import Any, cast

from msgspec.structs import replace

from batchwright.model.actions import Action, Undo
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.plan import Need, Step
from batchwright.model.run_fold_state import StepFoldState
from batchwright.operations.base import FieldPath, OperationType, PortKind, Wants
from batchwright.operations.observations import ProviderObserved
from batchwright.operations.planner_state import Draft, PlannedServer
from batchwright.operations.server_batch.placement import place_servers
from batchwright.operations.server_batch.structs import ServerBatch, ServerRequest

__all__ = ["ServerBatch", "ServerBatchType", "ServerRequest"]

_VERBS = {Action.KEEP: "keep an existing server", Action.RETIRE: "destroy a server that is no longer asked for"}
RETIRE_SECONDS = 10.0
KEEP_SECONDS = 1.0  # one look; an estimate like all `seconds`


def plan_servers(draft: Draft) -> None:
    """Fill the steps of server operations. A server that is neither created nor kept has none; a problem says why."""
    for i, op in draft.of(ServerBatch):
        observed = draft.observations.providers.get(op.provider)
        draft.steps[i] = [
            step
            for place in draft.places[i]
            if observed and (place.made or place.ref)
            for step in (*_old(op, place, observed), _step(op, place, observed))
        ]


def _old(op: ServerBatch, place: PlannedServer, observed: ProviderObserved) -> list[Step]:
    """The step that destroys the server which this one replaces."""
    if place.old is None:
        return []
    request = replace(cast(ServerRequest, observed.requests[place.name]), facts=None)
    return [
        Step(
            id=f"{place.step}!old",
            operation=op.id,
            provider=op.provider,
            action=Action.RETIRE,
            undo=Undo.NOTHING,
            request=request,
            ref=place.old_ref,
            seconds=RETIRE_SECONDS,
            retired=place.old,
        )
    ]


def _step(op: ServerBatch, place: PlannedServer, observed: ProviderObserved) -> Step:
    request = observed.requests[place.name]
    assert isinstance(request, ServerRequest)
    undo = Undo.DESTROY if place.vanishes else Undo.RELEASE
    return Step(
        id=place.step,
        operation=op.id,
        provider=op.provider,
        action=Action.CREATE if place.made else Action.KEEP,
        undo=undo if place.made else Undo.NOTHING,
        request=replace(request, facts=None),
        needs=(Need(f"{place.step}!old"),) if place.old is not None else (),
        ref=place.ref,
        seconds=observed.create_seconds if place.made else KEEP_SECONDS,
        unclear=place.unclear,
        changes=place.changes,
    )


class ServerBatchType(OperationType[ServerBatch]):
    """The operation type `server_batch`: servers of one provider."""

    name = "server_batch"
    operation = ServerBatch
    request = ServerRequest
    port = PortKind.PROVIDER
    doubt_note = "its create call is in doubt: the rollback looks for it first"

    def written(self, fields: dict[str, Any]) -> dict[str, Any]:
        return {**fields, "server_configs": [_written(config) for config in fields["server_configs"]]}

    def wants(self, op: ServerBatch) -> Wants:
        return Wants(servers=op.server_configs)

    def parts(self, op: ServerBatch) -> dict[str, FieldPath]:
        return {config.name: ("server_configs", number) for number, config in enumerate(op.server_configs)}

    def place_servers(self, draft: Draft) -> None:
        place_servers(draft)

    def plan(self, draft: Draft) -> None:
        plan_servers(draft)

    def unplanned(self, draft: Draft) -> list[Diagnostic]:
        return [
            Diagnostic(
                code="server-unresolved",
                message=f'the provider "{place.provider}" did not say how to create the server "{place.name}"',
                where=place.step,
                hint="This is a bug in the provider's adapter.",
            )
            for places in draft.places.values()
            for place in places
            if not (place.made or place.ref)
        ]

    def does(self, step: Step, _server: str) -> str:
        request = step.request
        assert isinstance(request, ServerRequest)
        if step.retired is not None:
            verb = "destroy" if step.retired.run else "release"
            return f"{verb} server {request.name} ({step.ref})" + ("" if step.retired.run else ", which stays")
        if step.action is Action.KEEP:
            return f"keep server {request.name} ({step.ref}): it exists and matches"
        if step.needs:
            return f"create server {request.name} in its place: plan {request.plan}, zone {request.zone}"
        if not request.plan:
            where = f" at {request.access.host}" if request.access is not None else ""
            return f"take server {request.name}, which already exists{where}"
        image = f", image {request.image}" if request.image else ""
        return f"create server {request.name}: plan {request.plan}, zone {request.zone}{image}"

    def undoes(self, step: Step, _server: str) -> str:
        match step.undo:
            case Undo.DESTROY:
                return f"destroy server {step.request.name}"
            case Undo.RELEASE:
                return f"release server {step.request.name}, which stays"
        if step.retired is not None:
            return f"nothing: {step.request.name} is gone, with its data and its addresses"
        return f"nothing: {step.request.name} existed before"

    def verb(self, action: Action) -> str:
        return _VERBS.get(action, "create a server")

    def started(self, step: Step, record: StepFoldState) -> str:
        if step.retired is not None:
            return "destroying"
        if step.action is Action.KEEP:
            return "checking the existing server"
        return f"in doubt: asking {step.provider} whether the call took effect" if record.doubt else "creating"

    def undoing(self, step: Step) -> str:
        return "letting go" if step.undo is Undo.RELEASE else "destroying"

    def residue(self, step: Step, ref: str) -> str:
        return f"server {ref or 'of unknown reference'} on {step.provider}"


def _written(config: dict[str, Any]) -> dict[str, Any]:
    """With the provider's own options where they were written, and nothing that its contract may not know."""
    options: dict[str, Any] = config["options"]
    return {name: value for name, value in config.items() if value and name != "options"} | options
