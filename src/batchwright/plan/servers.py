"""Server operations to steps: what is there already and matches is kept, what differs is refused, the rest is made."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

from msgspec.structs import replace

from batchwright.model.actions import Action, Undo
from batchwright.model.outcome import Observed, ServerState
from batchwright.model.plan import ServerRequest, Step
from batchwright.model.workflow import ServerBatch, ServerConfig
from batchwright.plan.draft import NO_FACTS, Draft, PlannedServer
from batchwright.plan.observations import ProviderObserved
from batchwright.plan.wording import enumerated

KEEP_SECONDS = 1.0  # one look; an estimate like all `seconds`

_ABSENT = frozenset({ServerState.GONE, ServerState.NOT_VISIBLE})
_KEPT = frozenset({ServerState.STARTING, ServerState.READY})


def plan_servers(draft: Draft) -> None:
    """Fill `places` and the steps of server operations."""
    numbers = count()
    for i, op in draft.server_batches():
        draft.places[i], draft.steps[i] = [], []
        observed = draft.observations.providers.get(op.provider)
        for config in op.server_configs:
            place = PlannedServer(next(numbers), i, op.provider, config, f"{op.id}/{config.name}")
            draft.places[i].append(place)
            step = _step(draft, op, place, observed) if observed else None
            if step:
                draft.steps[i].append(step)


def _step(draft: Draft, op: ServerBatch, place: PlannedServer, observed: ProviderObserved) -> Step | None:
    request = observed.requests.get(place.name)
    if request is None:
        return None  # what stands against it is among the troubles
    place.facts, request = request.facts or NO_FACTS, replace(request, facts=None)
    managed = [one for one in observed.managed.get(place.name, ()) if one.state not in _ABSENT]
    if not managed:
        place.made, place.vanishes = True, observed.destroys
        return Step(
            id=place.step,
            operation=op.id,
            provider=op.provider,
            action=Action.CREATE,
            undo=Undo.DESTROY if observed.destroys else Undo.RELEASE,
            request=request,
            seconds=observed.create_seconds,
        )
    if not _can_keep(draft, place, request, managed):
        return None
    return Step(
        id=place.step,
        operation=op.id,
        provider=op.provider,
        action=Action.KEEP,
        undo=Undo.NOTHING,
        request=request,
        ref=managed[0].ref,
        seconds=KEEP_SECONDS,
    )


_AMBIGUOUS = (
    "If a killed run left one of them, remove it with: batchwright gc --run RUN (here: {}). "
    "Otherwise destroy one with `batchwright servers destroy`, or choose another name."
)


def _can_keep(draft: Draft, place: PlannedServer, request: ServerRequest, managed: Sequence[Observed]) -> bool:
    found = managed[0]
    if len(managed) > 1:
        draft.refuse(
            "server-ambiguous",
            f'{place.provider} has {len(managed)} servers named "{place.name}" that Batchwright manages: '
            f"{enumerated([one.ref for one in managed])}",
            place.step,
            _AMBIGUOUS.format(enumerated(sorted({one.run for one in managed if one.run}))),
        )
    elif found.state not in _KEPT:
        draft.refuse(
            f"server-{found.state}",
            f'the server "{place.name}" ({found.ref}) exists and is {found.state}'
            + (f": {found.fault.message}" if found.fault else ""),
            place.step,
            "Wait until it is gone, or choose another name."
            if found.state is ServerState.STOPPING
            else "Remove it or repair it, or choose another name.",
        )
    elif differing := _differing(place.config, request, found):
        draft.refuse(
            "server-differs",
            f'the server "{place.name}" ({found.ref}) exists and differs: '
            + "; ".join(
                f'{name} is "{is_now}", the workflow asks for "{wanted}"' for name, is_now, wanted in differing
            ),
            place.step,
            "Change the workflow to match it, choose another name, or roll back the run that created it.",
        )
    else:
        return True
    return False


def _differing(config: ServerConfig, request: ServerRequest, found: Observed) -> list[tuple[str, str, str]]:
    """Field, what it is, what is wanted. The image counts only when the user names one and the provider tells it."""
    pairs = [("plan", found.plan, request.plan), ("zone", found.zone, request.zone)]
    if config.image is not None and found.image:
        pairs.append(("image", found.image, request.image))
    return [pair for pair in pairs if pair[1] != pair[2]]
