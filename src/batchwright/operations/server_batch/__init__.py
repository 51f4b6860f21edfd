"""The operation type of servers: the steps that create, keep and replace them, and their words."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from batchwright.model.actions import Action, Undo
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.lifecycle import StepState
from batchwright.model.plan import OLD, REPLACE_ORDER, Alternative, FieldChange, Need, Request, Retired, Step
from batchwright.model.public_key import fingerprint
from batchwright.model.run_fold_state import StepFoldState
from batchwright.model.server_labels import label_text
from batchwright.model.workflow import ReplaceOrder
from batchwright.operations.base import FieldPath, OperationType, PortKind, Wants
from batchwright.operations.observations import ProviderObserved
from batchwright.operations.planner_state import Draft, PlannedServer
from batchwright.operations.server_batch.alternatives import check_alternatives
from batchwright.operations.server_batch.server_difference import place_servers
from batchwright.operations.server_batch.structs import ServerBatch, ServerRequest

__all__ = ["ServerBatch", "ServerBatchType", "ServerRequest"]

_VERBS = {
    Action.KEEP: "keep an existing server",
    Action.UPDATE: "change an existing server in place",
    Action.RETIRE: "destroy a server that is no longer asked for",
}
_UNDOING = {Undo.RELEASE: "letting go", Undo.RESTORE: "changing back"}
RETIRE_SECONDS = 10.0
KEEP_SECONDS = 1.0  # one look; an estimate like all `seconds`


def plan_servers(draft: Draft) -> None:
    """Fill the steps of server operations. A server that is neither created nor kept has none; a problem says why."""
    for i, op in draft.of(ServerBatch):
        draft.steps[i] = [
            step
            for place in draft.places[i]
            if (observed := draft.observations.providers.get(place.provider)) and (place.made or place.ref)
            for step in (*_old(op, place), _step(op, place, observed))
        ]


def _old(op: ServerBatch, place: PlannedServer) -> list[Step]:
    """The step that first destroys the server which this one replaces, which may be at another provider."""
    if place.old is None or place.old_last:  # one that goes last is among what is retired
        return []
    return [
        Step(
            id=f"{place.step}{OLD}",
            operation=op.id,
            provider=place.old.provider,
            action=Action.RETIRE,
            undo=Undo.NOTHING,
            request=msgspec.convert(place.old.request, ServerRequest),
            ref=place.old.ref,
            seconds=RETIRE_SECONDS,
            retired=Retired(place.old.key, place.old.run, place.old.token),
            gone=place.old_gone,
            part=op.min_success is not None,  # a number of servers, whichever of them are replaced
        )
    ]


def _step(op: ServerBatch, place: PlannedServer, observed: ProviderObserved) -> Step:
    request = place.request
    assert isinstance(request, ServerRequest)
    undo = Undo.DESTROY if place.vanishes else Undo.RELEASE
    found, kept = (Action.UPDATE, Undo.RESTORE) if place.updated else (Action.KEEP, Undo.NOTHING)
    boots = place.made or any(one.stops for one in place.changes)
    login = request.login if place.made else observed.logins.get(place.ref)
    return Step(
        id=place.step,
        operation=op.id,
        provider=place.provider,
        action=Action.CREATE if place.made else found,
        undo=undo if place.made else kept,
        request=replace(request, facts=None, login=login),
        needs=(Need(f"{place.step}{OLD}"),) if place.old is not None and not place.old_last else (),
        ref=place.ref,
        seconds=observed.create_seconds if boots else KEEP_SECONDS,
        unclear=place.unclear,
        changes=place.changes,
        before=place.before,
        adopts=place.adopts,
        lender=place.lender,
        alternatives=tuple(Alternative(one.provider, _sent(one.request)) for one in place.alternatives)
        if place.made
        else (),
    )


def _sent(request: Request) -> ServerRequest:
    assert isinstance(request, ServerRequest)
    return replace(request, facts=None)


class ServerBatchType(OperationType[ServerBatch]):
    """The operation type `server_batch`: servers of one provider."""

    name = "server_batch"
    operation = ServerBatch
    request = ServerRequest
    actions = frozenset({Action.CREATE, Action.KEEP, Action.UPDATE, Action.RETIRE})
    policy_group = "servers"
    port = PortKind.PROVIDER
    doubt_note = "its create call is in doubt: the rollback looks for it first"

    def written(self, fields: dict[str, Any]) -> dict[str, Any]:
        if fields["replace_order"] == ReplaceOrder.OLD_FIRST:  # a file without it has the digest that it always had
            del fields["replace_order"]
        if not fields["otherwise"]:
            fields = {name: value for name, value in fields.items() if name not in ("otherwise", "otherwise_on")}
        return {**fields, "server_configs": [_written(config) for config in fields["server_configs"]]}

    def wants(self, op: ServerBatch) -> Wants:
        places = [op.places(config)[1:] for config in op.server_configs] if op.otherwise else []
        alternatives = tuple(place for each in places for place in each)
        return Wants(servers=op.server_configs, alternatives=alternatives, alternatives_on=op.otherwise_on)

    def providers(self, op: ServerBatch) -> tuple[str, ...]:
        return tuple(dict.fromkeys([op.provider, *(one.provider for one in op.otherwise if one.provider)]))

    def parts(self, op: ServerBatch) -> dict[str, FieldPath]:
        return {config.name: ("server_configs", number) for number, config in enumerate(op.server_configs)}

    def place_servers(self, draft: Draft) -> None:
        place_servers(draft)

    def step_count(self, draft: Draft, i: int) -> int:
        return len(draft.places[i])

    def check(self, draft: Draft) -> None:
        for _, op in draft.of(ServerBatch):
            check_alternatives(draft, op)

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

    def subject(self, _step: Step) -> str:
        return ""

    def about(self, step: Step) -> str:
        request = step.request
        assert isinstance(request, ServerRequest)
        if step.gone and step.leftover:
            return "left by an earlier run; it is gone by now, and is forgotten"
        if step.leftover:
            return "left by an earlier run; destroyed with its data and addresses"
        if step.gone:
            return "was destroyed by someone else, and is forgotten"
        if step.retired is not None:
            return "destroyed with its data and addresses" if step.retired.run else "released, it stays"
        if not request.plan:
            return "it exists already" + (f" at {request.access.host}" if request.access is not None else "")
        image = f", image {request.image}" if request.image else ""
        key = f", lets in {fingerprint(request.login.key)}" if request.login is not None and request.login.key else ""
        return f"plan {request.plan}, zone {request.zone}{image}{key}"

    def policy_data(self, step: Step) -> dict[str, Any]:
        request = step.request
        assert isinstance(request, ServerRequest)
        return {"zone": request.zone, "plan": request.plan, "image": request.image, "labels": request.labels}

    def does(self, step: Step, _server: str) -> str:
        request = step.request
        assert isinstance(request, ServerRequest)
        if step.retired is not None:
            verb = "destroy" if step.retired.run else "release"
            return f"{verb} server {request.name} ({step.ref})" + ("" if step.retired.run else ", which stays")
        if step.adopts is not None:
            return f"take over server {request.name} ({step.ref}), which run {step.adopts.run} created"
        if step.lender:
            return f"use server {request.name} ({step.ref}), which belongs to the environment {step.lender}"
        if step.action is Action.KEEP:
            return f"keep server {request.name} ({step.ref}): it exists and matches"
        if step.action is Action.UPDATE:
            return f"change server {request.name} ({step.ref}) in place: {_changes(step)}"
        if not request.plan:
            where = f" at {request.access.host}" if request.access is not None else ""
            return f"take server {request.name}, which already exists{where}"
        where = " in its place" if step.in_place else " beside the old one" if _goes_last(step) else ""
        return f"create server {request.name}{where}: {self.about(step)}"

    def undoes(self, step: Step, _server: str) -> str:
        match step.undo:
            case Undo.DESTROY:
                stays = ", and keep the old one if it still stands" if _goes_last(step) else ""
                return f"destroy server {step.request.name}{stays}"
            case Undo.RELEASE:
                return f"release server {step.request.name}, which stays"
            case Undo.RESTORE:
                return f"change server {step.request.name} back: {_back(step)}"
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
        if step.action is Action.UPDATE:
            return "changing in place, which stops it" if _stops(step) else "changing in place"
        return f"in doubt: asking {step.provider} whether the call took effect" if record.doubt else "creating"

    def doing(self, step: Step, record: StepFoldState) -> str:
        if record.state is StepState.CREATED and step.undo is Undo.RESTORE:
            return "changed, waiting until it is ready"
        return super().doing(step, record)

    def undoing(self, step: Step) -> str:
        return _UNDOING.get(step.undo, "destroying")

    def residue(self, step: Step, ref: str) -> str:
        if step.undo is Undo.RESTORE:
            return f"server {step.ref} on {step.provider}, which was to be changed back: {_back(step)}"
        return f"server {ref or 'of unknown reference'} on {step.provider}"

    def undo_target(self, step: Step, record: StepFoldState) -> str:
        return f"{step.ref}: {_back(step)}" if step.undo is Undo.RESTORE else record.ref


def _written(config: dict[str, Any]) -> dict[str, Any]:
    """With the provider's own options where they were written, and nothing that its contract may not know."""
    options: dict[str, Any] = config["options"]
    return {name: value for name, value in config.items() if value and name != "options"} | options


def _changes(step: Step) -> str:
    """What an update changes, from what to what."""
    told = [f"{one.field} from {one.old or 'none'} to {one.new or 'none'}{_remark(one)}" for one in step.changes]
    return "; ".join(told) or "an earlier run began that and did not finish"


def _remark(one: FieldChange) -> str:
    remarks = [*(["it is stopped meanwhile"] if one.stops else []), *([one.note] if one.note else [])]
    return f" ({', '.join(remarks)})" if remarks else ""


def _goes_last(step: Step) -> bool:
    """Whether a server is created beside the one that it replaces."""
    return any(one.field == REPLACE_ORDER for one in step.changes)


def _stops(step: Step) -> bool:
    return any(one.stops for one in step.changes)


def _back(step: Step) -> str:
    """What the undo of an update changes, to what."""
    before, now = (step.before and step.before.request), step.request
    assert isinstance(before, ServerRequest)
    assert isinstance(now, ServerRequest)
    told = (
        [f"plan to {before.plan}{' (it is stopped meanwhile)' if _stops(step) else ''}"]
        if before.plan != now.plan
        else []
    )
    told += [f"labels to {label_text(before.labels)}"] if before.labels != now.labels else []
    return "; ".join(told) or "nothing, it is what was asked for before"
