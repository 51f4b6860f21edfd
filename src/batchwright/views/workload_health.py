"""Whether what a run installed and looked at is well: its task services, and its checks."""

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


class CheckStatus(Struct, frozen=True):
    """What a check operation sees now. `server` is the server that its program runs on, "" for this machine."""

    step: str
    subject: str
    server: str
    ok: bool
    output: str


class RunHealth(Struct, frozen=True):
    """All task services of a run, and its checks. `ok` is true if all is well."""

    run: str
    ok: bool
    items: tuple[TaskservStatus, ...]
    checks: tuple[CheckStatus, ...] = ()


def health_of(run: str, items: tuple[TaskservStatus, ...], checks: tuple[CheckStatus, ...]) -> RunHealth:
    """Combine the task services and the checks of a run."""
    ok = all(one.ok for one in items) and all(one.ok for one in checks)
    return RunHealth(run, ok, items, checks)
