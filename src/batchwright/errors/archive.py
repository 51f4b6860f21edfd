"""Errors about runs whose events are in an archive."""

from __future__ import annotations

from batchwright.errors.base import StoreError


class RunArchived(StoreError):
    """The events of this run are in an archive; the store has only the run's line in the list."""

    code = "run-archived"
    hint = "To have them back: batchwright store import FILE"


class ArchiveRefused(StoreError):
    """This file is no archive of runs, is damaged, or does not fit the stores here."""

    code = "archive-refused"
