"""The refusals every adapter makes, in the same words."""

from __future__ import annotations

from batchwright.errors import LeaseLost, RunNotFound, SequenceConflict, StoreUnavailable


def missing(run: str) -> RunNotFound:
    """The error for an unknown run id."""
    return RunNotFound(f"there is no run {run}")


def exists(run: str) -> SequenceConflict:
    """A second run with this id."""
    return SequenceConflict(f"run {run} already exists")


def moved_on(run: str, last: int, after: int) -> SequenceConflict:
    """The append does not follow the last event."""
    return SequenceConflict(f"the journal of run {run} is at event {last}, not {after}")


def lost(run: str) -> LeaseLost:
    """The fence or the holder is no longer the run's."""
    return LeaseLost(f"run {run} is no longer driven by this process")


def closed(place: object) -> StoreUnavailable:
    """A call before open or after aclose."""
    return StoreUnavailable(f"the store {place} is not open")
