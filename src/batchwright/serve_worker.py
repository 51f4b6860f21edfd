"""`batchwright worker`: drives the runs that Temporal gives it."""

from __future__ import annotations

import asyncio
import signal
from typing import Annotated

import typer

from batchwright.cli.exit_codes import Exit
from batchwright.cli.options import StateDir, settings_of
from batchwright.cli.output import say
from batchwright.errors import FleetPackageMissing, UsageError
from batchwright.model.remote_place import NAME
from batchwright.service.stderr_log import log_to_stderr

Runs = Annotated[
    int | None,
    typer.Option("--runs", min=0, help="How many runs it drives at once; default: 50, at a place none."),
]
Place = Annotated[
    str | None,
    typer.Option("--place", metavar="PLACE", help="Make the calls to this place, as [place] in config.toml allows."),
]
Calls = Annotated[int, typer.Option("--calls", min=1, help="How many calls to its place it makes at once.")]
Grace = Annotated[float, typer.Option("--grace", min=0.0, help="Seconds that calls in flight may take at shutdown.")]
AllowCommands = Annotated[
    bool,
    typer.Option("--allow-commands", help="Drive runs of a service's clients that run programs, on this machine too."),
]


def worker(
    runs: Runs = None,
    place: Place = None,
    calls: Calls = 100,
    grace: Grace = 20.0,
    allow_commands: AllowCommands = False,
    state_dir: StateDir = None,
) -> int:
    """Drive the runs that Temporal gives it, until it is stopped; what it has under way then goes on elsewhere.

    With --place it makes the calls of others to providers, servers and programs that only this network reaches.
    """
    if place is not None and not NAME.fullmatch(place):
        raise UsageError(
            f'"{place}" is not the name of a place', hint="It has lower-case letters, digits and -, as in dc-madrid."
        )
    if not place and runs == 0:
        raise UsageError("a worker without runs and without a place does nothing", hint="Give --place or --runs.")
    try:
        from batchwright.fleet import worker as fleet
    except ModuleNotFoundError as error:
        raise FleetPackageMissing(f"a worker needs the package {error.name}, which is not installed") from error
    settings = settings_of(state_dir)
    most = runs if runs is not None else 0 if place else fleet.WorkerOptions().runs
    options = fleet.WorkerOptions(most, grace, allow_commands, place or "", calls)
    log_to_stderr()

    def told(queues: str) -> None:
        say(f"batchwright worker of {queues}")
        say("stop it with Ctrl-C; what it has under way goes on at another worker")

    async def until_stopped() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await fleet.work(settings, options, told, stop)

    asyncio.run(until_stopped())
    say("stopped")
    return Exit.OK
