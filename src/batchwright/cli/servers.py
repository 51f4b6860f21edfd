"""The commands servers, servers ssh and servers destroy."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from batchwright.app.live_servers import ListedServer
from batchwright.cli import completion
from batchwright.cli.exit_codes import Exit
from batchwright.cli.options import Json, NoColor, Sim, Simulate, StateDir, simulation_of
from batchwright.cli.output import confirm, note, print_json, say
from batchwright.cli.run_control import Yes
from batchwright.cli.table import table
from batchwright.cli.target import Url, chosen, show_warnings
from batchwright.cli.view_printer import text_width
from batchwright.errors import NotAllowed, UsageError
from batchwright.model.fault import Fault
from batchwright.views.ansible_inventory import inventory_ini, inventory_json
from batchwright.views.host_aliases import LoginHost, aliases
from batchwright.views.ssh_config import ssh_config as write_ssh_config

app = typer.Typer(help="List all servers, log in to one, or destroy one.")

ServerArgument = Annotated[str, typer.Argument(metavar="SERVER", help="A server name or reference.")]
OfProvider = Annotated[str, typer.Option("--provider", help="Only servers of this provider.")]
OfRun = Annotated[
    str,
    typer.Option("--run", metavar="RUN", help="Only servers of this run: an id, a unique prefix of one, or `latest`."),
]
OfEnvironment = Annotated[
    str,
    typer.Option(
        "--environment",
        metavar="ENV",
        help="Only servers that runs of this environment created: NAME or NAME/ENVIRONMENT, also after `simulated:` or "
        "`real:`.",
        autocompletion=completion.environments,
    ),
]
SshConfigFile = Annotated[
    bool, typer.Option("--ssh-config", help="Print a configuration file of OpenSSH: ssh -F FILE NAME.")
]


class InventoryFormat(StrEnum):
    """The formats of Ansible's inventories."""

    INI = "ini"
    JSON = "json"


_INVENTORIES = {InventoryFormat.INI: inventory_ini, InventoryFormat.JSON: inventory_json}
InventoryAs = Annotated[
    InventoryFormat | None,
    typer.Option(
        "--inventory", help="Print an inventory of Ansible: as a file (ini), or as an inventory script does (json)."
    ),
]
InUse = Annotated[bool, typer.Option("--anyway", help="Destroy it even if its run has not ended.")]
Words = Annotated[list[str] | None, typer.Argument(metavar="[COMMAND]...", help="The command to run.")]


@app.callback(invoke_without_command=True)
def servers(
    context: typer.Context,
    provider: OfProvider = "",
    run: OfRun = "",
    simulate: Simulate = False,
    sim: Sim = None,
    environment: OfEnvironment = "",
    ssh_config: SshConfigFile = False,
    inventory: InventoryAs = None,
    state_dir: StateDir = None,
    url: Url = None,
    json: Json = False,
    _no_color: NoColor = False,
) -> int:
    """List all servers, log in to one, or destroy one."""
    if context.invoked_subcommand is not None:
        return Exit.OK
    if json + ssh_config + (inventory is not None) > 1:
        raise UsageError("--json, --ssh-config and --inventory cannot be used together", hint="Use one of them.")
    with chosen(url, state_dir) as client:
        start = client.run(run).run if run == "latest" else run
        named = client.environment(environment) if environment else None
        simulated = simulation_of(simulate or (named is not None and named.simulated), sim)
        found = client.servers(provider, simulated)
        found = found.of_environment(named.name) if named is not None else found
        show_warnings(client)
    shown = [one for one in found.servers if one.run.startswith(start)]
    if json:
        print_json({"servers": shown, "troubles": found.troubles})
        return Exit.OK
    for trouble in found.troubles:
        note(f"{trouble.where} is not listed: {trouble.message}", "yellow")
    if ssh_config or inventory is not None:
        hosts = _login_hosts(shown, client.place)
        writer = _INVENTORIES[inventory] if inventory is not None else write_ssh_config
        for line in writer(hosts).split("\n")[:-1]:
            say(line)
    else:
        _show(shown)
    return Exit.OK


def _login_hosts(servers: Sequence[ListedServer], place: str) -> list[LoginHost]:
    """The servers that can be logged in to from here; the others are told with the reason."""
    for one in servers:
        if not one.known_hosts:
            note(f"{one.name} ({one.ref}) is left out: {one.no_login}", "yellow")
    reached = [one for one in servers if one.known_hosts]
    for file in sorted({one.known_hosts for one in reached}):
        _refuse_elsewhere(file, place)
    return [
        LoginHost(
            alias,
            one.provider,
            one.ref,
            one.run,
            one.zone,
            one.plan,
            one.environment,
            one.operation,
            one.taskservs,
            one.access,
            one.known_hosts,
        )
        for alias, one in zip(aliases((one.name, one.ref) for one in reached), reached, strict=True)
        if one.access is not None
    ]


def _show(found: list[ListedServer]) -> None:
    if not found:
        say("no servers")
        return
    headers = ("name", "provider", "plan", "zone", "address", "state", "run", "made by")
    rows = [
        (one.name, one.provider, one.plan, one.zone, one.address, one.state.value, one.run, one.owner) for one in found
    ]
    lines = table(headers, rows, text_width())
    say(next(lines))
    for line, one in zip(lines, found, strict=True):
        say(line)
        if one.ssh:
            say(f"    {one.ssh}")  # never truncated, so that it can be copied
        elif one.access is not None:
            say(f"    no login: {one.no_login}")


@app.command("ssh", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def log_in(
    server: ServerArgument,
    command: Words = None,
    state_dir: StateDir = None,
    url: Url = None,
    json: Json = False,
    _no_color: NoColor = False,
) -> int:
    """Log in to a server, or run a command there and exit with its code. With --json: only print how."""
    with chosen(url, state_dir) as client:
        found = client.servers("", None).named(server)
        line = found.login(command or ())
    if json:
        print_json({"ssh": line})
        return Exit.OK
    _refuse_elsewhere(found.known_hosts, client.place)
    sys.stdout.flush()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores SIGPIPE, and child programs would inherit that
    try:
        os.execvp(line[0], line)  # noqa: S606 - an argument list, no shell
    except FileNotFoundError:
        raise UsageError("no ssh client is installed", hint="Install the OpenSSH client.") from None


def _refuse_elsewhere(known_hosts: str, place: str) -> None:
    """Raise NotAllowed if the host keys that a login needs are on another machine."""
    if not Path(known_hosts).exists():
        raise NotAllowed(
            f"the login keys are on the machine of the service {place}",
            hint="Log in from there. To see the command: batchwright servers ssh --json SERVER",
        )


@app.command("destroy")
def destroy(
    server: ServerArgument,
    yes: Yes = False,
    anyway: InUse = False,
    simulate: Simulate = False,
    sim: Sim = None,
    state_dir: StateDir = None,
    url: Url = None,
    json: Json = False,
    _no_color: NoColor = False,
) -> int:
    """Destroy one server after a confirmation. A rollback of its run accepts that it is gone."""
    simulation = simulation_of(simulate, sim)
    with chosen(url, state_dir) as client:
        found = client.servers("", simulation).named(server)
        if not anyway:
            found.refuse_in_use()
        if not yes and not _agreed(found):
            note("nothing was changed")
            return Exit.STOPPED
        return _end_told(found, client.destroy_server(found.ref, anyway=anyway, simulation=simulation).fault, json=json)


def _end_told(found: ListedServer, fault: Fault | None, *, json: bool) -> int:
    if json:
        print_json({"server": found, "gone": fault is None, "fault": fault})
    elif fault is not None:
        note(f"{found.name} ({found.ref}) could not be destroyed: {fault.message}", "red")
    else:
        say(f"{found.name} ({found.ref}) is {'released' if found.stays else 'gone'}")
    return Exit.NO if fault is not None else Exit.OK


def _agreed(server: ListedServer) -> bool:
    """Show the server and ask for confirmation."""
    if not sys.stdin.isatty():
        raise UsageError(
            "destroying a server needs confirmation, and there is no terminal to ask on",
            hint="Review it first: batchwright servers. Then add --yes.",
        )
    what = " ".join(word for word in (server.provider, server.zone, server.plan, server.address) if word)
    note(f"{server.name} ({server.ref}): {what}, {server.state}")
    note(f"  of run {server.run} ({server.owner})")
    verb = "Release" if server.stays else "Destroy"
    return confirm(f"{verb} {server.name}?")
