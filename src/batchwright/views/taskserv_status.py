"""The health of task services on their servers."""

from __future__ import annotations

from msgspec import Struct

from batchwright.model.call_outcome import CheckResult


class TaskservStatus(Struct, frozen=True):
    """One task service on one server: its checks, or why the server could not be reached."""

    step: str
    taskserv: str
    server: str
    provider: str
    address: str
    ok: bool
    checks: tuple[CheckResult, ...] = ()
    trouble: str = ""


class TaskservStatuses(Struct, frozen=True):
    """All task services of a run. `ok` is true if all are healthy."""

    run: str
    ok: bool
    items: tuple[TaskservStatus, ...]


def statuses_of(run: str, items: tuple[TaskservStatus, ...]) -> TaskservStatuses:
    """Combine the task services of a run."""
    return TaskservStatuses(run, all(one.ok for one in items), items)
