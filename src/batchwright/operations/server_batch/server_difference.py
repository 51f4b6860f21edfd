"""Which servers there will be: a matching one is kept, a missing one created, a different one changed or replaced.

What a server is compared with: what the provider shows now, and what the environment's runs asked for last, which also
holds what no provider tells (user data, keys).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import msgspec
from msgspec.structs import replace

from batchwright.model.call_outcome import ABSENT, Observed, ServerState
from batchwright.model.environment import Resource
from batchwright.model.plan import ADOPTED, DESTROYED, REPLACE_ORDER, Alternative, Before, FieldChange, Guard, Labels
from batchwright.model.server_labels import labels_named
from batchwright.model.update_behavior import ChangeWay
from batchwright.model.workflow import ReplaceOrder
from batchwright.operations.observations import ProviderObserved
from batchwright.operations.planner_state import NO_FACTS, Draft, PlannedServer
from batchwright.operations.server_batch.alternatives import ResolvedPlace, resolved_places
from batchwright.operations.server_batch.field_difference import FieldDifference, differences
from batchwright.operations.server_batch.structs import ServerBatch, ServerRequest
from batchwright.operations.suggestions import enumerated

REPLACE_HINT = (
    "To destroy it, with its data and addresses, and create it anew, add --replace {}. "
    "Otherwise change the workflow to match it."
)
_KEPT = frozenset({ServerState.STARTING, ServerState.READY})


def place_servers(draft: Draft) -> None:
    """Fill `places`: which servers are kept, which are created, and the problems of the rest."""
    numbers = count()
    servers = [one for one in draft.observations.resources if one.kind == ServerRequest.kind()]
    draft.had.update({one.name: one for one in servers if one.ref})
    draft.had_refs.update(one.ref for one in servers if one.ref)
    for i, op in draft.of(ServerBatch):
        draft.places[i] = []
        for config in op.server_configs:
            place = PlannedServer(next(numbers), i, op.provider, config.name, config.plan, f"{op.id}/{config.name}")
            draft.places[i].append(place)
            options = resolved_places(draft.observations, op, config)
            if options:
                place.alternatives = tuple(Alternative(one.provider, one.request) for one in options[1:])
                option = _stands_at(draft, place, options)
                _decide(draft, place, option)
                if place.made and option is not options[0]:
                    _begin_with(place, options[0])


def _begin_with(place: PlannedServer, first: ResolvedPlace) -> None:
    """Create a server that is replaced at the first of its places, wherever the old one stands."""
    assert place.request is not None
    old, new = (
        (place.provider, place.request.plan, place.request.zone),
        (
            first.provider,
            first.request.plan,
            first.request.zone,
        ),
    )
    fields = zip(("provider", "plan", "zone"), old, new, strict=True)
    place.changes += tuple(FieldChange(field, was, now) for field, was, now in fields if was != now)
    _place_at(place, first)


def _place_at(place: PlannedServer, option: ResolvedPlace) -> None:
    place.provider, place.size, place.request = option.provider, option.config.plan, option.request
    place.facts = option.request.facts or NO_FACTS


def _stands_at(draft: Draft, place: PlannedServer, options: Sequence[ResolvedPlace]) -> ResolvedPlace:
    """The place that the plan is about: one where the environment has the server and can keep it, as it is or changed
    in place; else the first.
    """
    had = _had(draft, place)
    seen = _seen(draft, had) if had is not None else None
    if had is None or seen is None or seen.state is ServerState.GONE:
        return options[0]
    there = [one for one in options if one.provider == had.provider]
    if seen.state is ServerState.NOT_VISIBLE:
        return there[0] if there else options[0]
    differing = [[one.way for one in _differences(option, seen, had)] for option in there]
    equal = (option for option, ways in zip(there, differing, strict=True) if not ways)
    in_place = (option for option, ways in zip(there, differing, strict=True) if ChangeWay.REPLACE not in ways)
    return next(equal, None) or next(in_place, None) or options[0]


def _differences(option: ResolvedPlace, found: Observed, own: Resource | None) -> list[FieldDifference]:
    asked = own.request if own is not None else None
    ways, wanted = option.ways.get(found.ref, {}), msgspec.to_builtins(option.request)
    return differences(found, wanted, asked, ways, image=option.config.image is not None)


def _decide(draft: Draft, place: PlannedServer, option: ResolvedPlace) -> None:
    observed = option.observed
    _place_at(place, option)
    managed = _managed(draft, place, observed)
    if _is_refused_elsewhere(draft, place) or (not managed and _is_hidden(draft, place)):
        return
    if managed and place.old is not None:
        what = f'the server "{place.name}" ({managed[0].ref}) exists at {place.provider}, and at {place.old.provider}'
        draft.refuse("server-ambiguous", f"{what}, where this environment has it", place.step, "Choose another name.")
    elif not managed:
        place.made, place.vanishes = True, observed.destroys
        place.changes = _former(draft, place)
    elif not _is_refused(draft, place, managed):
        _compare(draft, place, option, managed[0])


def _managed(draft: Draft, place: PlannedServer, observed: ProviderObserved) -> list[Observed]:
    """The servers of this name. While a run replaces the environment's, its new one does not count yet."""
    there = [one for one in observed.managed.get(place.name, ()) if one.state not in ABSENT]
    known = [one for one in there if _own_record(draft, place, one) is not None]
    changing = draft.observations.changing if known else ""
    return [one for one in there if one in known or not changing or one.run != changing]


def _had(draft: Draft, place: PlannedServer) -> Resource | None:
    """The server of this name that the environment has by its own runs, wherever it is."""
    had = draft.had.get(place.name)
    return had if had is not None and not had.borrowed else None


def _seen(draft: Draft, one: Resource) -> Observed | None:
    """The server as its provider shows it now; None if the provider could not be asked."""
    observed = draft.observations.providers.get(one.provider)
    return observed.recorded.get(one.ref) if observed is not None else None


def _is_hidden(draft: Draft, place: PlannedServer) -> bool:
    """Whether the environment has this server and its provider does not show it: then no second one may be created."""
    had = _had(draft, place)
    seen = _seen(draft, had) if had is not None else None
    if had is None or seen is None or seen.state is not ServerState.NOT_VISIBLE:
        return False
    draft.refuse(
        "server-not-visible",
        f'the environment has the server "{place.name}" ({had.ref}), and {had.provider} does not show it',
        place.step,
        "Plan again in a minute: by then the provider shows it, or it counts as destroyed by someone else.",
    )
    return True


def _is_refused_elsewhere(draft: Draft, place: PlannedServer) -> bool:
    """Whether the environment has this server at another provider and may not destroy it there; else it is replaced."""
    had = _had(draft, place)
    if had is None or had.provider == place.provider:
        return False
    seen = _seen(draft, had)
    asked = f"the workflow asks for {place.provider}"
    what = f'the server "{place.name}" ({had.ref}) exists at {had.provider}, {asked}'
    if seen is None:
        hint = f"{had.provider} must answer, so that the server can be destroyed there."
        draft.refuse("provider-not-open", what, place.step, hint)
    elif seen.state is ServerState.GONE:
        return False
    elif not draft.workflow.changes.replaces(place.name):
        draft.refuse("server-differs", what, place.step, REPLACE_HINT.format(place.name))
    else:
        place.old, place.old_last = had, _is_new_first(draft, place)
        return False
    return True


def _is_new_first(draft: Draft, place: PlannedServer) -> bool:
    op = draft.order[place.operation]
    return isinstance(op, ServerBatch) and op.replace_order is ReplaceOrder.NEW_FIRST


def _former(draft: Draft, place: PlannedServer) -> tuple[FieldChange, ...]:
    """That the environment had this server, at another provider or until someone else destroyed it, if that is so."""
    had = _had(draft, place)
    if had is None:
        return ()
    if place.old is not None:
        return (FieldChange("provider", had.provider, place.provider), *_order(place))
    place.old, place.old_gone = had, True
    return (FieldChange(DESTROYED, had.ref, known=False),)


def _state(found: Observed) -> str:
    return found.state + (f": {found.fault.message}" if found.fault else "")


def _compare(draft: Draft, place: PlannedServer, option: ResolvedPlace, found: Observed) -> None:
    """Decide whether the server that is there is kept, changed in place, replaced or refused."""
    own, request = _own_record(draft, place, found), option.request
    ways = option.ways.get(found.ref, {})
    in_place = any(one.way is not ChangeWay.REPLACE for one in ways.values())
    unfinished = in_place and own is not None and own.is_half_changed
    if found.state not in _KEPT and not (unfinished and found.state is ServerState.BROKEN):
        place.changes = (FieldChange("state", found.state, ServerState.READY),)
        _replace_or_refuse(draft, place, found, f"is {_state(found)}")
        return
    differing = _without_told(draft, place, found, _differences(option, found, own), own=own is not None)
    place.changes = tuple(one.change for one in differing)
    reason = f"differs: {'; '.join(map(str, differing))}"
    if differing and (own is None or any(one.way is ChangeWay.REPLACE for one in differing)):
        _replace_or_refuse(draft, place, found, reason)
    elif any(one.way is ChangeWay.STOPPED for one in differing) and not draft.workflow.changes.replaces(place.name):
        hint = f"It can be changed in place, and is stopped meanwhile. To allow that, add --replace {place.name}."
        what = f'the server "{place.name}" ({found.ref}) exists and {reason}'
        draft.refuse("server-differs", what, place.step, f"{hint} Otherwise change the workflow to match it.")
    else:
        place.ref, place.updated = found.ref, bool(differing) or unfinished
        if place.adopts is not None:
            place.changes = (FieldChange(ADOPTED, place.adopts.run),)
        elif own is None:
            place.lender = draft.observations.lenders.get(found.run, "")
        # a server that is stopped and started may get another address
        place.address = (
            "" if any(one.stops for one in place.changes) or found.state is ServerState.BROKEN else found.address
        )
        if own is not None:
            place.unclear = not own.whole and not own.is_half_changed
            place.before = _before(place, request, found, own)


def _before(place: PlannedServer, request: ServerRequest, found: Observed, own: Resource) -> Before | None:
    """What stands there, if the step changes it, or if the environment is to know that it was changed by hand."""
    labels = own.request.get("labels", {})
    plan_by_hand = own.request.get("plan", request.plan) != request.plan == found.plan
    labels_by_hand = labels != request.labels == labels_named(found.labels, labels, request.labels)
    noticed = labels_by_hand or (plan_by_hand and labels == request.labels)
    if not place.updated and not noticed:
        return None
    last = msgspec.convert(own.request, ServerRequest)
    if not place.updated:
        return own.before(last)
    if plan_by_hand:
        last = replace(last, plan=request.plan, resolved=request.resolved)
    return own.before(replace(last, labels=request.labels) if labels_by_hand else last)


def _without_told(
    draft: Draft, place: PlannedServer, found: Observed, differing: list[FieldDifference], *, own: bool
) -> list[FieldDifference]:
    """Without the differences that stay and are only told: those that cannot be changed, or that the file accepts."""
    today = draft.observations.today
    accepts = [one for one in draft.workflow.drift.accept if one.server == place.name and one.holds(today)]
    drifted = {
        one.field: accepted for one in differing for accepted in accepts if one.drifted and one.field in accepted.fields
    }
    # a change in place would set an accepted field too
    stays = [one for one in differing if one.way is None or (drifted and one.way is not ChangeWay.REPLACE)]
    stays = [one for one in stays if one.field not in drifted]
    what = f'the server "{place.name}" ({found.ref}) is kept as it is: '
    if drifted:
        words = "; ".join(str(one) for one in differing if one.field in drifted)
        why = "; ".join(f"until {one.end}: {one.reason}" for one in dict.fromkeys(drifted.values()))
        draft.warn("drift-accepted", what + words, place.step, f"The file accepts this {why}.")
    if stays:
        hint = "They are set when a server is created."
        if drifted:
            hint = "Nothing else is changed meanwhile."
        elif place.adopts is not None:
            hint = "The next plan changes them, where the provider can."
        elif not own:
            hint = "Only the environment that created the server changes them."
        draft.warn("server-kept-as-it-is", what + "; ".join(map(str, stays)), place.step, hint)
    return [one for one in differing if one not in stays and one.field not in drifted]


def _own_record(draft: Draft, place: PlannedServer, found: Observed) -> Resource | None:
    """What the environment knows of a server that its own runs created."""
    had = draft.had.get(place.name)
    return had if had is not None and had.ref == found.ref and had.run else None


def _replace_or_refuse(draft: Draft, place: PlannedServer, found: Observed, reason: str) -> None:
    own, observed = _own_record(draft, place, found), draft.observations.providers[place.provider]
    what = f'the server "{place.name}" ({found.ref}) exists and {reason}'
    code = "server-differs" if found.state in _KEPT else f"server-{found.state}"
    if own is None or not observed.destroys:
        hint = "Change the workflow to match it, or choose another name: this environment did not create it."
        draft.refuse(code, what, place.step, hint)
    elif draft.workflow.changes.replaces(place.name):
        place.made, place.vanishes = True, True
        place.old, place.old_last = own, _is_new_first(draft, place)
        place.changes += _order(place)
        if place.old_last and observed.facts.guard is Guard.UNIQUE_NAME:
            draft.refuse(
                "name-in-use",
                f'the server "{place.name}" ({own.ref}) is to be replaced with the new one first, and {place.provider} '
                "lets no two servers have one name",
                place.step,
                'Write replace_order = "old_first" in this operation, or give the new server another name.',
                "replace_order",
            )
    else:
        draft.refuse(code, what, place.step, REPLACE_HINT.format(place.name))


def _order(place: PlannedServer) -> tuple[FieldChange, ...]:
    """That the old server goes last, where that is so."""
    return (FieldChange(REPLACE_ORDER, ReplaceOrder.OLD_FIRST, ReplaceOrder.NEW_FIRST),) if place.old_last else ()


_AMBIGUOUS = (
    "If a killed run left one of them, remove it with: batchwright gc --run RUN (here: {}). "
    "Otherwise destroy one with `batchwright servers destroy`, or choose another name."
)


def _is_orphan(draft: Draft, one: Observed) -> bool:
    return one.run in draft.observations.orphans and one.ref not in draft.had_refs


def _is_refused(draft: Draft, place: PlannedServer, managed: Sequence[Observed]) -> bool:
    """Whether something is wrong with the servers of this name, so that none of them can be kept or changed."""
    found = managed[0]
    foreign = [one for one in managed if one.run in draft.observations.strangers or _is_orphan(draft, one)]
    if len(managed) == 1 and foreign and place.name in draft.workflow.changes.adopt:
        place.adopts = Labels(found.run, found.token)
        return found.state is ServerState.STOPPING and _is_stopping(draft, place, found)
    if strangers := [one for one in managed if one.run in draft.observations.strangers]:
        draft.refuse(
            "server-exists",
            f'the server "{place.name}" ({strangers[0].ref}) exists, and this store does not know the run that created'
            f" it: {strangers[0].run}",
            place.step,
            "It is in use by whoever has that run, in another store: use that store, or choose another name. If nobody"
            f" has it any more, take it over with --adopt {place.name}, or: batchwright servers destroy",
        )
    elif orphans := [one for one in managed if _is_orphan(draft, one)]:
        draft.refuse(
            "server-orphan",
            f'the server "{place.name}" ({orphans[0].ref}) is a late effect of run {orphans[0].run}, whose call had an '
            "unknown outcome: no run of this environment uses it",
            place.step,
            f"Remove it with: batchwright gc --run {orphans[0].run} --yes, or take it over with --adopt {place.name}.",
        )
    elif len(managed) > 1:
        draft.refuse(
            "server-ambiguous",
            f'{place.provider} has {len(managed)} servers named "{place.name}" that Batchwright manages: '
            f"{enumerated([one.ref for one in managed])}",
            place.step,
            _AMBIGUOUS.format(enumerated(sorted({one.run for one in managed if one.run}))),
        )
    else:
        return _is_stopping(draft, place, found)
    return True


def _is_stopping(draft: Draft, place: PlannedServer, found: Observed) -> bool:
    if found.state is not ServerState.STOPPING:
        return False
    what = f'the server "{place.name}" ({found.ref}) exists and is {_state(found)}'
    draft.refuse("server-stopping", what, place.step, "Wait until it is gone, or choose another name.")
    return True
