"""The stores themselves: store migrate, store check."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from batchwright.app.clock import SystemClock
from batchwright.app.store import Moved, Sound, check, migrate
from batchwright.app.stores import STORES, Stores
from batchwright.cli.codes import Exit
from batchwright.cli.options import Json, NoColor, StateDir, settings_of
from batchwright.cli.output import note, print_json, say
from batchwright.errors import UsageError
from batchwright.views.wording import counted

app = typer.Typer(help="The stores that hold the runs.")

Origin = Annotated[str, typer.Option("--from", metavar="STORE", help=f"One of: {', '.join(STORES)}.")]
Destination = Annotated[str, typer.Option("--to", metavar="STORE", help="Another of them.")]
Words = Annotated[list[str] | None, typer.Argument(metavar="[RUN]...", help="Only these; all of the store without.")]


@app.command("migrate")
def migrate_runs(
    origin: Origin,
    destination: Destination,
    runs: Words = None,
    state_dir: StateDir = None,
    json: Json = False,
    _no_color: NoColor = False,
) -> int:
    """Move runs that nobody drives from one store to another; every event is compared. Killed, run it again."""
    for option, name in (("--from", origin), ("--to", destination)):
        if name not in STORES:
            raise UsageError(f"{option} {name}: there is no such store", hint=f"Known: {', '.join(STORES)}.")

    async def work() -> list[Moved]:
        made = []
        async with Stores(settings_of(state_dir)) as stores:
            async for one in migrate(stores, SystemClock(), origin, destination, runs or ()):
                made.append(one)
                if not json:
                    _tell_moved(one)
        return made

    made = asyncio.run(work())
    left = sum(bool(one.left) for one in made)
    if json:
        print_json({"from": origin, "to": destination, "runs": made})
    else:
        note(
            f"{counted(len(made) - left, 'run')} moved from {origin} to {destination}"
            + (f", {left} left" if left else "")
        )
    return Exit.NO if left else Exit.OK


def _tell_moved(one: Moved) -> None:
    if one.left:
        note(f"{one.run}  {one.workflow}: left where it is: {one.left}", "yellow")
    else:
        say(f"{one.run}  {one.workflow}: {counted(one.events, 'event')}, all compared")


@app.command("check")
def check_stores(state_dir: StateDir = None, json: Json = False, _no_color: NoColor = False) -> int:
    """Read every run of every store: all events are there and fold, and the summary is what they fold to."""

    async def work() -> list[Sound]:
        found = []
        async with Stores(settings_of(state_dir)) as stores:
            async for one in check(stores, SystemClock()):
                found.append(one)
                if not json:
                    _tell_found(one)
        return found

    found = asyncio.run(work())
    bad = sum(bool(one.problems) for one in found)
    if json:
        print_json({"ok": not bad, "runs": found})
    else:
        events = sum(one.events for one in found)
        note(f"{counted(len(found), 'run')}, {counted(events, 'event')}, {counted(bad, 'run')} with a problem")
    return Exit.NO if bad else Exit.OK


def _tell_found(one: Sound) -> None:
    for problem in one.problems:
        note(f"{one.run}  {one.workflow} in {one.store}: {problem}", "red")
    if not one.problems:
        say(f"{one.run}  {one.workflow} in {one.store}: {counted(one.events, 'event')}, sound")
