"""Prints whether the task services and the checks of a run are well."""

from __future__ import annotations

from rich.text import Text

from batchwright.cli.output import say
from batchwright.cli.view_printer import show_table
from batchwright.views.text_format import counted, one_line
from batchwright.views.workload_health import RunHealth, TaskservStatus


def show_health(found: RunHealth) -> None:
    """One row per task service and per check; for what is not well with the reason."""
    if not found.items and not found.checks:
        say(f"run {found.run}: no task service is installed, and it has no check")
        return
    if found.items:
        rows = ((one.server, one.taskserv, one.address, _state(one), _why(one)) for one in found.items)
        show_table(("server", "task service", "address", "state", "why"), rows)
    if found.checks:
        seen = ((one.step, one.subject, one.server, _well(one.ok), one_line(one.output)) for one in found.checks)
        show_table(("check", "looks at", "from", "state", "seen"), seen)
    bad = [
        counted(sum(not one.ok for one in rows), noun)
        for rows, noun in ((found.items, "task service"), (found.checks, "check"))
        if not all(one.ok for one in rows)
    ]
    say(f"not healthy: {' and '.join(bad)}" if bad else "all healthy")


def _state(one: TaskservStatus) -> Text:
    return Text("not reached", "red") if one.trouble and not one.ok else _well(one.ok)


def _well(ok: bool) -> Text:
    return Text("healthy", "green") if ok else Text("unhealthy", "red")


def _why(one: TaskservStatus) -> str:
    failing = [f"{check.name}: {one_line(check.output)}" for check in one.checks if not check.ok]
    return one.trouble or "; ".join(failing)
