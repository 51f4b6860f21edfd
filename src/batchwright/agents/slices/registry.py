"""The slices about a run by name, and how to make one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct

from batchwright.agents.slices.base import Slice
from batchwright.agents.slices.comparison import comparison_slice
from batchwright.agents.slices.details import details_slice, wanted_for_details
from batchwright.agents.slices.diagnosis import diagnosis_slice, wanted_for_diagnosis
from batchwright.agents.slices.provider_calls import provider_slice
from batchwright.agents.slices.recovery import recovery_slice
from batchwright.agents.slices.run_source import RunSource
from batchwright.agents.slices.search import search_slice, wanted_for_search
from batchwright.agents.slices.status import status_slice
from batchwright.errors import UsageError
from batchwright.model.run import Run
from batchwright.views.run_history import RunHistory


def _no_events(_run: Run, _history: RunHistory, _query: str) -> Sequence[int]:
    return ()


class SliceKind(Struct, frozen=True):
    """One kind of slice: its usual budget in tokens, how it is made, and the numbers of the events it needs for that.

    `compares`: it also looks at the last good run of the environment, if it is given.
    """

    budget: int
    make: Callable[[RunSource, str, int], Slice]
    wanted: Callable[[Run, RunHistory, str], Sequence[int]] = _no_events
    compares: bool = False


SLICES = {
    "status": SliceKind(250, status_slice),
    "diagnose": SliceKind(700, diagnosis_slice, wanted_for_diagnosis, compares=True),
    "show": SliceKind(500, details_slice, wanted_for_details),
    "find": SliceKind(500, search_slice, wanted_for_search),
    "recovery": SliceKind(600, recovery_slice),
    "provider": SliceKind(400, provider_slice, compares=True),
    "compare": SliceKind(900, comparison_slice, compares=True),
}


def slice_kind(kind: str) -> SliceKind:
    """The kind of this name. Raises UsageError."""
    found = SLICES.get(kind)
    if found is None:
        raise UsageError(f"there is no slice {kind!r}", hint=f"There are: {', '.join(SLICES)}.")
    return found


def run_slice(kind: str, source: RunSource, query: str = "", budget: int = 0) -> Slice:
    """The slice of a run; a budget of 0 is the usual one.

    The same source and query give the same bytes. `source.events` must have what `slice_kind(kind).wanted` asked for.
    Raises UsageError and StepNotFound.
    """
    found = slice_kind(kind)
    return found.make(source, query, budget or found.budget)
