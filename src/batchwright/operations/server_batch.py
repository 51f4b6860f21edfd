"""Server operations to steps: a matching server is kept, a missing one created, a different one refused or replaced."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import count
from typing import Any, Self, cast

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from batchwright.model.actions import Action, Undo
from batchwright.model.call_outcome import Observed, ServerState
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.environment import Resource, resource_key
from batchwright.model.plan import FieldChange, Need, Request, Retired, ServerFacts, Step
from batchwright.model.run_fold_state import StepFoldState
from batchwright.model.ssh_access import SshAccess
from batchwright.model.workflow import Dependency, OnFailure, Operation, Retry, ServerConfig
from batchwright.operations.base import FieldPath, OperationType, PortKind, Wants
from batchwright.operations.observations import ProviderObserved
from batchwright.operations.planner_state import NO_FACTS, Draft, PlannedServer
from batchwright.operations.server_difference import differences
from batchwright.operations.suggestions import enumerated


class ServerBatch(Operation, Struct, frozen=True, tag_field="type", tag="server_batch"):
    """Ensures that servers exist on one provider."""

    id: str
    provider: str
    server_configs: tuple[ServerConfig, ...]
    dependencies: tuple[Dependency, ...] = ()
    retry: Retry = Retry()
    timeout: float = 600.0  # seconds, per step
    on_failure: OnFailure | None = None


class ServerRequest(Request, Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="server"):
    """A create request with the provider's own ids in it, so that a retry sends exactly the same request.

    Only the provider that wrote `resolved` reads it. `access` is set for a server that exists already and is only
    taken. `facts` exist only while planning; the steps of the plan have none.

    >>> config = ServerConfig("web-01", plan="small", zone="eu")
    >>> ServerRequest.of(config, "debian-12", {"image_id": "img-42"}).resolved["image_id"]
    'img-42'
    """

    name: str
    plan: str
    zone: str
    image: str = ""
    ssh_keys: tuple[str, ...] = ()
    user_data: str = ""
    labels: dict[str, str] = {}
    resolved: dict[str, str] = {}
    access: SshAccess | None = None
    facts: ServerFacts | None = None

    @classmethod
    def of(
        cls,
        config: ServerConfig,
        image: str,
        resolved: dict[str, str],
        facts: ServerFacts | None = None,
        *,
        plan: str = "",
    ) -> Self:
        """The request for `config`; `plan` is the provider's own name of it, where it has one."""
        return cls(
            config.name,
            plan or config.plan,
            config.zone,
            image=image,
            ssh_keys=config.ssh_keys,
            user_data=config.user_data or "",
            labels=config.labels,
            resolved=resolved,
            facts=facts,
        )

    def public(self) -> Self:
        """The request without `user_data`, which may hold what only the server may know."""
        if not self.user_data:
            return self
        data = self.user_data.encode()
        told = f"({len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()[:16]})"
        return replace(self, user_data=told)


_VERBS = {Action.KEEP: "keep an existing server", Action.RETIRE: "destroy a server that is no longer asked for"}
RETIRE_SECONDS = 10.0
KEEP_SECONDS = 1.0  # one look; an estimate like all `seconds`

_ABSENT = frozenset({ServerState.GONE, ServerState.NOT_VISIBLE})
_KEPT = frozenset({ServerState.STARTING, ServerState.READY})


def place_servers(draft: Draft) -> None:
    """Fill `places`: which servers are kept, which are created, and the problems of the rest."""
    numbers = count()
    for i, op in draft.of(ServerBatch):
        draft.places[i] = []
        observed = draft.observations.providers.get(op.provider)
        for config in op.server_configs:
            place = PlannedServer(next(numbers), i, op.provider, config.name, config.plan, f"{op.id}/{config.name}")
            draft.places[i].append(place)
            if observed:
                _decide(draft, place, config, observed)


def _decide(draft: Draft, place: PlannedServer, config: ServerConfig, observed: ProviderObserved) -> None:
    request = observed.requests.get(place.name)
    if not isinstance(request, ServerRequest):
        return  # what stands against it is among the problems
    place.facts = request.facts or NO_FACTS
    managed = [one for one in observed.managed.get(place.name, ()) if one.state not in _ABSENT]
    if not managed and _is_hidden(draft, place, observed):
        return
    if not managed:
        place.made, place.vanishes = True, observed.destroys
    elif _can_keep(draft, place, config, request, managed):
        own = _own_record(draft, place, managed[0])
        place.ref, place.unclear = managed[0].ref, own is not None and not own.whole


def _is_hidden(draft: Draft, place: PlannedServer, observed: ProviderObserved) -> bool:
    """Whether the environment has this server and its provider does not show it: then no second one may be created."""
    for one in draft.observations.resources:
        if (one.name, one.server, one.provider) != (place.name, "", place.provider) or one.ref not in observed.recorded:
            continue
        if observed.recorded[one.ref].state is ServerState.NOT_VISIBLE:
            draft.refuse(
                "server-not-visible",
                f'the environment has the server "{place.name}" ({one.ref}), and {place.provider} does not show it',
                place.step,
                "Plan again in a minute: by then the provider shows it, or it counts as destroyed by someone else.",
            )
            return True
    return False


def _state(found: Observed) -> str:
    return found.state + (f": {found.fault.message}" if found.fault else "")


def _reason_to_replace(
    draft: Draft, place: PlannedServer, config: ServerConfig, request: ServerRequest, found: Observed
) -> str:
    """Why the server that is there cannot be kept; what can differ without a new server is only told."""
    if found.state not in _KEPT:
        place.changes = (FieldChange("state", found.state, ServerState.READY),)
        return f"is {_state(found)}"
    own = _own_record(draft, place, found)
    before = own.request if own is not None else None
    differing = differences(found, msgspec.to_builtins(request), before, image=config.image is not None)
    if live := [str(one) for one in differing if one.live]:
        message = f'the server "{place.name}" ({found.ref}) is kept as it is: {"; ".join(live)}'
        draft.warn("server-kept-as-it-is", message, place.step, "They are set when a server is created.")
    lasting = [one for one in differing if not one.live]
    place.changes = tuple(one.change for one in lasting)
    return f"differs: {'; '.join(map(str, lasting))}" if lasting else ""


def _own_record(draft: Draft, place: PlannedServer, found: Observed) -> Resource | None:
    """What the environment knows of a server that its own runs created."""
    key = resource_key(ServerRequest.kind(), "", place.name)
    return next(
        (one for one in draft.observations.resources if (one.key, one.ref) == (key, found.ref) and one.run), None
    )


def _replace_or_refuse(draft: Draft, place: PlannedServer, found: Observed, reason: str) -> None:
    own, observed = _own_record(draft, place, found), draft.observations.providers[place.provider]
    what = f'the server "{place.name}" ({found.ref}) exists and {reason}'
    code = "server-differs" if found.state in _KEPT else f"server-{found.state}"
    if own is None or not observed.destroys:
        hint = "Change the workflow to match it, or choose another name: this environment did not create it."
        draft.refuse(code, what, place.step, hint)
    elif draft.workflow.changes.replaces(place.name):
        place.made, place.vanishes = True, True
        place.old = Retired(own.key, own.run, own.token)
        place.old_ref = own.ref
    else:
        hint = (
            f"To destroy it, with its data and addresses, and create it anew, add --replace {place.name}. "
            "Otherwise change the workflow to match it."
        )
        draft.refuse(code, what, place.step, hint)


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


_AMBIGUOUS = (
    "If a killed run left one of them, remove it with: batchwright gc --run RUN (here: {}). "
    "Otherwise destroy one with `batchwright servers destroy`, or choose another name."
)


def _is_orphan(draft: Draft, one: Observed) -> bool:
    known = {ref for found in draft.observations.resources for ref in (found.ref, *found.leftover)}
    return one.run in draft.observations.orphans and one.ref not in known


def _can_keep(
    draft: Draft, place: PlannedServer, config: ServerConfig, request: ServerRequest, managed: Sequence[Observed]
) -> bool:
    found = managed[0]
    if strangers := [one for one in managed if one.run in draft.observations.strangers]:
        draft.refuse(
            "server-exists",
            f'the server "{place.name}" ({strangers[0].ref}) exists, and this store does not know the run that created'
            f" it: {strangers[0].run}",
            place.step,
            "It is in use by whoever has that run, in another store: use that store, or choose another name. If nobody"
            " has it any more: batchwright servers destroy",
        )
    elif orphans := [one for one in managed if _is_orphan(draft, one)]:
        draft.refuse(
            "server-orphan",
            f'the server "{place.name}" ({orphans[0].ref}) is a late effect of run {orphans[0].run}, whose call had an '
            "unknown outcome: no run of this environment uses it",
            place.step,
            f"Remove it with: batchwright gc --run {orphans[0].run} --yes",
        )
    elif len(managed) > 1:
        draft.refuse(
            "server-ambiguous",
            f'{place.provider} has {len(managed)} servers named "{place.name}" that Batchwright manages: '
            f"{enumerated([one.ref for one in managed])}",
            place.step,
            _AMBIGUOUS.format(enumerated(sorted({one.run for one in managed if one.run}))),
        )
    elif found.state is ServerState.STOPPING:
        draft.refuse(
            "server-stopping",
            f'the server "{place.name}" ({found.ref}) exists and is {_state(found)}',
            place.step,
            "Wait until it is gone, or choose another name.",
        )
    elif reason := _reason_to_replace(draft, place, config, request, found):
        _replace_or_refuse(draft, place, found, reason)
    else:
        return True
    return False


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
