"""Task services as their servers show them: whether they are well, and what an install would change."""

from __future__ import annotations

from msgspec import Struct

from batchwright.model.outcome import CheckResult


class TaskservStatus(Struct, frozen=True):
    """One task service on one server: its checks, or why the server could not be asked."""

    step: str
    taskserv: str
    server: str
    provider: str
    address: str
    ok: bool
    checks: tuple[CheckResult, ...] = ()
    trouble: str = ""


class InstallPreview(Struct, frozen=True):
    """What an install would change on a server. `new`: the server does not exist yet, so all of it is installed."""

    step: str
    taskserv: str
    server: str
    new: bool
    changes: tuple[str, ...] = ()
    trouble: str = ""


class TaskservStatuses(Struct, frozen=True):
    """All task services of a run; `ok` when each is well."""

    run: str
    ok: bool
    items: tuple[TaskservStatus, ...]


def statuses_of(run: str, items: tuple[TaskservStatus, ...]) -> TaskservStatuses:
    """With the sum of it."""
    return TaskservStatuses(run, all(one.ok for one in items), items)
