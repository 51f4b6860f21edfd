"""The errors that every adapter raises, with the same words."""

from __future__ import annotations

import time

from batchwright.errors import LeaseLost, RunArchived, RunNotFound, SequenceConflict, StoreUnavailable
from batchwright.model.run_summary import RunSummary


def missing(run: str) -> RunNotFound:
    """The error for an unknown run id."""
    return RunNotFound(f"there is no run {run}")


def exists(run: str) -> SequenceConflict:
    """The error for a second run with this id."""
    return SequenceConflict(f"run {run} already exists")


def archived(summary: RunSummary) -> RunArchived:
    """The error for a run whose events are in an archive."""
    day = time.strftime("%Y-%m-%d", time.gmtime(summary.archived_at))
    return RunArchived(
        f"run {summary.run} of {summary.environment_key.name} ({summary.status}) was archived on {day}: its events are "
        f"in {summary.archive}",
        hint=f"To have them back: batchwright store import {summary.archive}",
    )


def not_archived(run: str) -> SequenceConflict:
    """The error for a run whose events are in the store."""
    return SequenceConflict(f"run {run} is not archived")


def moved_on(run: str, last: int, after: int) -> SequenceConflict:
    """The error for an append that does not follow the last event."""
    return SequenceConflict(f"the journal of run {run} is at event {last}, not {after}")


def lost(run: str) -> LeaseLost:
    """The error for a lease that another process has taken."""
    return LeaseLost(f"run {run} is no longer driven by this process")


def closed(place: object) -> StoreUnavailable:
    """The error for a call before open or after aclose."""
    return StoreUnavailable(f"the store {place} is not open")
