"""The places where a server may be created, and what is wrong with those that a file names. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from batchwright.model.update_behavior import FieldWay
from batchwright.model.workflow import ServerAlternative, ServerConfig
from batchwright.operations.observations import Observations, ProviderObserved
from batchwright.operations.planner_state import Draft
from batchwright.operations.server_batch.structs import ServerBatch, ServerRequest

_PROVIDERS_OWN = ("image", "network")  # their names mean nothing at another provider


class ResolvedPlace(Struct, frozen=True):
    """A place where a server may be created, as its provider resolves it, and how a managed one becomes that."""

    provider: str
    config: ServerConfig
    request: ServerRequest
    observed: ProviderObserved
    ways: Mapping[str, Mapping[str, FieldWay]]


def resolved_places(observations: Observations, op: ServerBatch, config: ServerConfig) -> list[ResolvedPlace]:
    """All places of a server, in order; none if one did not resolve, which is among the problems."""
    found = []
    for number, place in enumerate(op.places(config)):
        observed = observations.providers.get(place.provider)
        if observed is None:
            request = None
        elif number == 0:
            request, ways = observed.requests.get(config.name), observed.ways
        else:
            other = observed.alternatives.get((config.name, place.number))
            request, ways = (other.request, other.ways) if other is not None else (None, {})
        if observed is None or not isinstance(request, ServerRequest):
            return []
        found.append(ResolvedPlace(place.provider, place.config, request, observed, ways))
    return found


def check_alternatives(draft: Draft, op: ServerBatch) -> None:
    """Refuse alternatives that say too little, or nothing, and providers that cannot destroy what they create."""
    for number, one in enumerate(op.otherwise):
        field = f"otherwise.{number}"
        if one.provider in (None, op.provider):
            if all(one.of(config, op.provider) == config for config in op.server_configs):
                message = f"alternative {number + 1} is what the servers are already"
                hint = 'Say what differs there: { zone = "..." }, { plan = "..." } or { provider = "...", ... }.'
                draft.refuse("alternative-same", message, op.id, hint, field)
        elif missing := _missing(op, one):
            message = f"alternative {number + 1} is at {one.provider} and does not say its {' and '.join(missing)}"
            hint = f"The names of {op.provider} mean nothing there: add {', '.join(missing)}."
            draft.refuse("alternative-incomplete", message, op.id, hint, field)
        _refuse_if_it_keeps(draft, op, one.provider or op.provider, field)


def _missing(op: ServerBatch, one: ServerAlternative) -> list[str]:
    """What an alternative at another provider must say."""
    own = [name for name in _PROVIDERS_OWN if any(getattr(config, name) for config in op.server_configs)]
    return [name for name in ("plan", "zone", *own) if getattr(one, name) is None]


def _refuse_if_it_keeps(draft: Draft, op: ServerBatch, provider: str, field: str) -> None:
    observed = draft.observations.providers.get(provider)
    if observed is not None and not observed.destroys:
        message = f"{provider} only takes servers that exist already, so none can be created there otherwise"
        draft.refuse("alternative-keeps", message, op.id, "Name a provider that creates servers.", field)
