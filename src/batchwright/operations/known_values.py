"""What the references of a workflow stand for, as far as that is known when it is planned."""

from __future__ import annotations

from collections.abc import Iterable

from batchwright.model.templates import PlannedValue, Reference, Root, Value
from batchwright.operations.planner_state import Draft, PlannedServer


class KnownValues:
    """Looks references up in a draft whose servers are placed."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._servers = {place.name: place for places in draft.places.values() for place in places}

    def planned(self, references: Iterable[str]) -> tuple[PlannedValue, ...]:
        """Each reference with its value, or with the server, operation or run after which it is known."""
        return tuple(PlannedValue(name, self.get(name), self._after(Reference(name))) for name in sorted(references))

    def get(self, name: str) -> Value | None:
        """What a reference stands for; None if that is not known yet."""
        match (reference := Reference(name)).root, *reference.segments:
            case Root.WORKFLOW, field:
                return self._draft.workflow.name if field == "name" else self._draft.workflow.version
            case Root.SERVERS, server, field:
                return self._field(self._servers[server], field) or None
            case Root.OPERATIONS, operation, fields:
                field = "address" if fields == "addresses" else "name"
                at = self._draft.index[operation]
                places = self._draft.places[at]
                if self._draft.order[at].min_success and any(place.made or place.updated for place in places):
                    return None  # some of them may be missing then
                found = tuple(self._field(place, field) for place in places)
                return found if all(found) else None
        return None

    def servers(self, name: str) -> int:
        """How many servers a reference to the addresses of an operation certainly stands for; 0 if that is not known,
        or if it refers to something else.
        """
        match Reference(name).root, *Reference(name).segments:
            case Root.OPERATIONS, operation, "addresses":
                at = self._draft.index[operation]
                return 0 if self._draft.order[at].min_success else len(self._draft.places[at])
        return 0

    def _field(self, place: PlannedServer, field: str) -> str:
        if field in ("zone", "plan", "provider"):
            places = [(place.provider, place.request)]
            if place.made:  # it may be created somewhere else
                places += [(one.provider, one.request) for one in place.alternatives]
            told = {provider if field == "provider" else getattr(sent, field, "") for provider, sent in places}
            return told.pop() if len(told) == 1 else ""
        return str(getattr(place, field))

    @staticmethod
    def _after(reference: Reference) -> str:
        return "" if reference.root in (Root.RUN, Root.WORKFLOW) else reference.segments[0]
