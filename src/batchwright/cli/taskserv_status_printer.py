"""Prints the health of task services."""

from __future__ import annotations

from rich.text import Text

from batchwright.cli.output import say
from batchwright.cli.view_printer import show_table
from batchwright.views.taskserv_status import TaskservStatus, TaskservStatuses
from batchwright.views.text_format import counted, one_line


def show_conditions(found: TaskservStatuses) -> None:
    """One row per task service; for an unhealthy one with the reason."""
    if not found.items:
        say(f"run {found.run}: no task service is installed")
        return
    rows = ((one.server, one.taskserv, one.address, _state(one), _why(one)) for one in found.items)
    show_table(("server", "task service", "address", "state", "why"), rows)
    bad = sum(not one.ok for one in found.items)
    say(f"{bad} of {counted(len(found.items), 'task service')} unhealthy" if bad else "all healthy")


def _state(one: TaskservStatus) -> Text:
    if one.ok:
        return Text("healthy", "green")
    return Text("not reached" if one.trouble else "unhealthy", "red")


def _why(one: TaskservStatus) -> str:
    failing = [f"{check.name}: {one_line(check.output)}" for check in one.checks if not check.ok]
    return one.trouble or "; ".join(failing)
