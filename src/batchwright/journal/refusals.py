"""The errors that every adapter raises, with the same words."""

from __future__ import annotations

from batchwright.errors import LeaseLost, RunNotFound, SequenceConflict, StoreUnavailable


def missing(run: str) -> RunNotFound:
    """The error for an unknown run id."""
    return RunNotFound(f"there is no run {run}")


def exists(run: str) -> SequenceConflict:
    """The error for a second run with this id."""
    return SequenceConflict(f"run {run} already exists")


def moved_on(run: str, last: int, after: int) -> SequenceConflict:
    """The error for an append that does not follow the last event."""
    return SequenceConflict(f"the journal of run {run} is at event {last}, not {after}")


def lost(run: str) -> LeaseLost:
    """The error for a lease that another process has taken."""
    return LeaseLost(f"run {run} is no longer driven by this process")


def closed(place: object) -> StoreUnavailable:
    """The error for a call before open or after aclose."""
    return StoreUnavailable(f"the store {place} is not open")
