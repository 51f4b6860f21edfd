"""Which servers there will be: a matching one is kept, a missing one created, a different one replaced or refused.

What a server is compared with: what the provider shows now, and what the environment's runs asked for last, which also
holds what no provider tells (user data, keys, labels).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

import msgspec
from msgspec import Struct

from batchwright.model.call_outcome import Observed, ServerState
from batchwright.model.environment import Resource, resource_key
from batchwright.model.plan import FieldChange, Retired
from batchwright.model.workflow import ServerConfig
from batchwright.operations.observations import ProviderObserved
from batchwright.operations.planner_state import NO_FACTS, Draft, PlannedServer
from batchwright.operations.server_batch.structs import ServerBatch, ServerRequest
from batchwright.operations.suggestions import enumerated

Asked = Mapping[str, Any]
_NAMES = ("plan", "zone", "image", "network")  # the values of the other fields are words
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
        place.ref, place.address = managed[0].ref, managed[0].address
        place.unclear = own is not None and not own.whole


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


class FieldDifference(Struct, frozen=True):
    """One field: what it is and what is asked for, in words. `live`: it can differ without a new server."""

    field: str
    found: str
    wanted: str
    live: bool = False

    @property
    def change(self) -> FieldChange:
        """The same for the plan."""
        return FieldChange(self.field, self.found, self.wanted)

    def __str__(self) -> str:
        found, wanted = (f'"{one}"' if self.field in _NAMES else one for one in (self.found, self.wanted))
        return f"{self.field} is {found}, the workflow asks for {wanted}"


def differences(found: Observed, wanted: Asked, before: Asked | None, *, image: bool) -> list[FieldDifference]:
    """All of them. `before` is what was asked for last, if that is known; `image`: the user names one."""
    shown = [("plan", found.plan), ("zone", found.zone), *([("image", found.image)] if image and found.image else [])]
    return [
        *(FieldDifference(name, now, wanted.get(name, "")) for name, now in shown if now != wanted.get(name, "")),
        *(_asked_for(wanted, before) if before is not None else ()),
    ]


def _asked_for(wanted: Asked, before: Asked) -> list[FieldDifference]:
    found: list[FieldDifference] = []
    if before.get("user_data", "") != wanted.get("user_data", ""):
        found.append(FieldDifference("user_data", "another text", "the one in the file"))
    old, new = before.get("ssh_keys", ()), wanted.get("ssh_keys", ())
    if set(old) != set(new):
        found.append(FieldDifference("ssh_keys", _keys(old), _keys(new)))
    was, now = (one.get("resolved", {}).get("network", "") for one in (before, wanted))
    if was != now:
        found.append(FieldDifference("network", was, now))
    labels = [_pairs(one.get("labels", {})) for one in (before, wanted)]
    if labels[0] != labels[1]:
        found.append(FieldDifference("labels", labels[0], labels[1], live=True))
    return found


def _keys(keys: tuple[str, ...]) -> str:
    return ", ".join(key.split()[-1] for key in keys) or "none"


def _pairs(labels: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(labels.items())) or "none"
