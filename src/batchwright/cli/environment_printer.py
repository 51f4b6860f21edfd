"""Prints environments as text for people, to stdout."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from batchwright.cli.output import say
from batchwright.cli.progress_frame import STATUS_STYLES
from batchwright.cli.view_printer import block, clock_time, show_table
from batchwright.model.templates import Values, alone, filled
from batchwright.views.text_format import counted, one_line, some

if TYPE_CHECKING:
    from batchwright.views.environment import EnvironmentLine, EnvironmentServer, EnvironmentTaskserv, EnvironmentView

SERVERS_SHOWN = 40  # --json has all
VALUE_SHOWN = 60  # characters of a value


def show_environments(lines: Sequence[EnvironmentLine], place: str) -> None:
    """Print one line per environment. `place` is the store or service they come from."""
    if not lines:
        say(f"no environments in {place}")
        return
    rows = (
        (
            one.name,
            "yes" if one.simulated else "",
            _number(one.servers),
            _number(one.taskservs),
            one.run,
            Text(one.status.value, STATUS_STYLES.get(one.status, "cyan")),
            clock_time(one.since)[5:16],
            _driver(one),
        )
        for one in lines
    )
    headers = ("environment", "sim", "servers", "services", "newest run", "status", "since", "changing now")
    show_table(headers, rows, right=(2, 3))
    for one in lines:
        if one.next and not one.driver:
            say(f"! {one.name}: {_trouble(one)}{one.next}")


def _number(count: int | None) -> str:
    return "?" if count is None else f"{count:,}"


def _driver(one: EnvironmentLine) -> str:
    if not one.changing:
        return ""
    return one.driver or "no process"


def _trouble(one: EnvironmentLine) -> str:
    if one.changing:
        return f"run {one.run} is {one.status} and no process drives it; "
    return f"run {one.unsettled} ended with a call of unknown outcome; " if one.unsettled else ""


def show_environment(view: EnvironmentView) -> None:
    """Print whose turn it is, what the environment has, and what can be rolled back."""
    simulated = " (simulated)" if view.simulated else ""
    what = f"{counted(view.servers or 0, 'server')}, {counted(view.taskservs or 0, 'task service')}"
    say(Text.assemble((view.name, "bold"), f"{simulated}  {what}"))
    status = (view.status.value, STATUS_STYLES.get(view.status, "cyan"))
    say(Text.assemble(f"  newest run {view.run}: ", status, f" since {clock_time(view.since)}, version {view.version}"))
    if view.changing:
        driver = f"{view.driver} drives it" if view.driver else "no process drives it"
        say(f"  run {view.run} is changing it: {driver}")
    if view.unsettled:
        say(Text(f"  {_trouble(view)}no other run may begin until that is settled", "yellow"))
    say(f"  store {view.store}, {counted(view.turn, 'turn')}")
    for server in view.resources[:SERVERS_SHOWN]:
        _show_server(server)
    if len(view.resources) > SERVERS_SHOWN:
        say(f"and {len(view.resources) - SERVERS_SHOWN:,} more servers: --json shows all of them")
    commands = [
        f"{one.operation}{f' on {one.server}' if one.server else ''}, run {one.made_by}" for one in view.commands
    ]
    block("commands", commands)
    _show_troubles(view)
    block("undo", [f"batchwright rollback {one.run}  ({one.status}, version {one.version})" for one in view.rollbacks])
    block("next", [view.next] if view.next else [])


def _show_server(one: EnvironmentServer) -> None:
    place = " ".join(word for word in (one.provider, one.zone, one.plan) if word)
    say(Text.assemble((one.name, "bold"), f"  {one.address or 'no address yet'}  {place}  {one.ref}".rstrip()))
    begun = "was there before, kept by" if one.borrowed else "begun by"
    remarks = [
        "" if one.whole else "not ready",
        "may exist twice" if one.doubtful else "",
        "never destroyed here" if one.borrowed else "",
        f"in the account {one.account}, which run {one.left_by} left" if one.left_by else "",
        f"belongs to {one.belongs_to}" if one.belongs_to else "",
        f"used by {some(one.used_by)}" if one.used_by else "",
    ]
    say(Text(f"    {_history(one.made_by, one.changed_by, begun)}{_told(remarks)}", "bright_black"))
    for taskserv in one.taskservs:
        own: Values = {"server.name": one.name, "server.address": one.address}
        say(f"    {_taskserv(taskserv, own)}")


def _taskserv(one: EnvironmentTaskserv, own: Values) -> str:
    known = {**own, **one.values}
    shown = {name: _with_values(value, known) for name, value in one.variables.items() if value not in ("", [], ())}
    values = "".join(f" {name}={_value(value)}" for name, value in shown.items())
    history = _history(one.made_by, one.changed_by, "was there before, kept by" if one.whole else "begun by")
    return f"{one.name} {one.version}{values}  ({history}{'' if one.whole else ', not finished'})"


def _with_values(value: object, known: Values) -> object:
    """A plain value with what its references stood for."""
    if isinstance(value, list | tuple):
        return [_with_values(one, known) for one in value]
    if not isinstance(value, str):
        return value
    reference = alone(value)
    whole = known.get(reference.path) if reference else None
    return filled(value, known) if whole is None else whole


def _value(value: object) -> str:
    """A plain value, or where a secret comes from."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, dict):
        return " ".join(f"<{kind} {where}>" for kind, where in value.items())
    return str(value).lower() if isinstance(value, bool) else one_line(str(value), VALUE_SHOWN)


def _history(made_by: str, changed_by: str, otherwise: str) -> str:
    """`made by RUN, changed by RUN`; `otherwise` says where it comes from if no run of this environment finished it."""
    if not made_by:
        return f"{otherwise} {changed_by}"
    return f"made by {made_by}" if changed_by in ("", made_by) else f"made by {made_by}, changed by {changed_by}"


def _told(remarks: Iterable[str]) -> str:
    return "".join(f", {remark}" for remark in remarks if remark)


def _show_troubles(view: EnvironmentView) -> None:
    left = [f"{one.name}: {ref} should be gone" for one in view.resources for ref in one.leftover]
    residue = [
        f"{thing}: {why}"
        for one in view.resources
        for thing, why in [(one.name, one.residue), *((f"{one.name}/{on.name}", on.residue) for on in one.taskservs)]
        if why
    ]
    residue += [f"{one.operation}: {one.residue}" for one in view.commands if one.residue]
    block("leftovers", left, "yellow")
    block("not undone", residue, "red")
