"""`batchwright worker`: drives the runs that Temporal gives it."""

from __future__ import annotations

import asyncio
import signal
from typing import Annotated

import typer

from batchwright.cli.exit_codes import Exit
from batchwright.cli.options import StateDir, settings_of
from batchwright.cli.output import say
from batchwright.errors import FleetPackageMissing
from batchwright.service.stderr_log import log_to_stderr

Runs = Annotated[int, typer.Option("--runs", min=1, help="How many runs it drives at once.")]
Grace = Annotated[float, typer.Option("--grace", min=0.0, help="Seconds that calls in flight may take at shutdown.")]
AllowCommands = Annotated[
    bool,
    typer.Option("--allow-commands", help="Drive runs of a service's clients that run programs, on this machine too."),
]


def worker(
    runs: Runs = 50, grace: Grace = 20.0, allow_commands: AllowCommands = False, state_dir: StateDir = None
) -> int:
    """Drive the runs that Temporal gives it, until it is stopped; what it has under way then goes on elsewhere."""
    try:
        from batchwright.fleet import worker as fleet
    except ModuleNotFoundError as error:
        raise FleetPackageMissing(f"a worker needs the package {error.name}, which is not installed") from error
    settings = settings_of(state_dir)
    log_to_stderr()

    def told(queues: str) -> None:
        say(f"batchwright worker of {queues}")
        say("stop it with Ctrl-C; what it has under way goes on at another worker")

    async def until_stopped() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await fleet.work(settings, fleet.WorkerOptions(runs, grace, allow_commands), told, stop)

    asyncio.run(until_stopped())
    say("stopped")
    return Exit.OK
