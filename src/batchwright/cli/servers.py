"""The servers themselves: servers, servers ssh, servers destroy."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Annotated

import typer

from batchwright.app.clock import SystemClock
from batchwright.app.servers import Servers, StandingServer
from batchwright.app.stores import Stores
from batchwright.cli.codes import Exit
from batchwright.cli.human import text_width
from batchwright.cli.looking import note_troubles
from batchwright.cli.options import Json, NoColor, Sim, Simulate, StateDir, settings_of, simulation_of
from batchwright.cli.output import confirm, note, print_json, say
from batchwright.cli.running import Yes
from batchwright.cli.table import table
from batchwright.errors import UsageError

app = typer.Typer(help="The servers there are, whichever run made them; how to log in; and to end one by hand.")

ServerArgument = Annotated[str, typer.Argument(metavar="SERVER", help="Its name or its reference.")]
OfProvider = Annotated[str, typer.Option("--provider", help="Only this provider's.")]
OfRun = Annotated[str, typer.Option("--run", metavar="RUN", help="Only this run's: its id, a beginning, or `latest`.")]
InUse = Annotated[bool, typer.Option("--anyway", help="Although its run has not ended.")]
Words = Annotated[list[str] | None, typer.Argument(metavar="[COMMAND]...", help="What to run there.")]


@app.callback(invoke_without_command=True)
def servers(
    context: typer.Context,
    provider: OfProvider = "",
    run: OfRun = "",
    simulate: Simulate = False,
    sim: Sim = None,
    state_dir: StateDir = None,
    json: Json = False,
    _no_color: NoColor = False,
) -> int:
    """The servers there are, whichever run made them; how to log in; and to end one by hand."""
    if context.invoked_subcommand is not None:
        return Exit.OK
    settings, simulation = settings_of(state_dir), simulation_of(simulate, sim)

    async def work() -> int:
        async with Stores(settings) as stores:
            start = (await stores.find(run))[1] if run == "latest" else run
            async with Servers(settings, stores, SystemClock(), simulation) as all_servers:
                await all_servers.look(provider)
            note_troubles(stores)
        found = [one for one in all_servers.found if one.run.startswith(start)]
        if json:
            print_json({"servers": found, "troubles": all_servers.troubles})
            return Exit.OK
        for trouble in all_servers.troubles:
            note(f"{trouble.provider} is left out: {trouble.message}", "yellow")
        _show(found)
        return Exit.OK

    return asyncio.run(work())


def _show(found: list[StandingServer]) -> None:
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
            say(f"    {one.ssh}")  # never cut: it is there to be copied


@app.command("ssh", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def log_in(
    server: ServerArgument,
    command: Words = None,
    state_dir: StateDir = None,
    json: Json = False,
    _no_color: NoColor = False,
) -> int:
    """Log in to a server, or run a command there; its exit code is this one's. With --json: only show how."""
    settings = settings_of(state_dir)

    async def work() -> list[str]:
        async with Stores(settings) as stores, Servers(settings, stores, SystemClock()) as all_servers:
            await all_servers.look()
            return all_servers.login(all_servers.named(server), command or ())

    line = asyncio.run(work())
    if json:
        print_json({"ssh": line})
        return Exit.OK
    sys.stdout.flush()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # which Python ignores, and programs inherit that
    try:
        os.execvp(line[0], line)  # noqa: S606 - an argument list, no shell
    except FileNotFoundError:
        raise UsageError("there is no ssh client here", hint="Install OpenSSH's client.") from None


@app.command("destroy")
def destroy(
    server: ServerArgument,
    yes: Yes = False,
    anyway: InUse = False,
    simulate: Simulate = False,
    sim: Sim = None,
    state_dir: StateDir = None,
    json: Json = False,
    _no_color: NoColor = False,
) -> int:
    """End one server, after a question; what its run's rollback then finds gone is fine with it."""
    settings, simulation = settings_of(state_dir), simulation_of(simulate, sim)

    async def work() -> int:
        async with (
            Stores(settings) as stores,
            Servers(settings, stores, SystemClock(), simulation) as all_servers,
        ):
            await all_servers.look(partial=False)
            found = all_servers.named(server)
            if not anyway:
                all_servers.refuse_in_use(found)
            if not yes and not _agreed(found):
                note("nothing was changed")
                return Exit.STOPPED
            fault = await all_servers.end(found)
        if json:
            print_json({"server": found, "gone": fault is None, "fault": fault})
        elif fault is not None:
            note(f"{found.name} ({found.ref}) is not gone: {fault.message}", "red")
        else:
            say(f"{found.name} ({found.ref}) is {'let go' if found.stays else 'gone'}")
        return Exit.NO if fault is not None else Exit.OK

    return asyncio.run(work())


def _agreed(server: StandingServer) -> bool:
    """Show what it is, and ask."""
    if not sys.stdin.isatty():
        raise UsageError(
            "this ends a server, and there is no terminal to ask on",
            hint="Look first: batchwright servers. Then add --yes.",
        )
    what = " ".join(word for word in (server.provider, server.zone, server.plan, server.address) if word)
    note(f"{server.name} ({server.ref}): {what}, {server.state}")
    note(f"  of run {server.run} ({server.owner})")
    verb = "Let go of" if server.stays else "Destroy"
    return confirm(f"{verb} {server.name}?")
