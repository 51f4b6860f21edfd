"""The commands for stores: store migrate, store check."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from batchwright.app.environment_move import MovedEnvironment, MovedRun
from batchwright.app.multi_store import STORES, Stores
from batchwright.app.settings import Settings
from batchwright.app.store_check import IntegrityReport, StoreSeen, chain_of, check
from batchwright.app.store_migration import migrate
from batchwright.app.system_clock import SystemClock
from batchwright.cli.exit_codes import Exit
from batchwright.cli.options import Json, NoColor, StateDir, settings_of
from batchwright.cli.output import note, print_json, say
from batchwright.errors import UsageError
from batchwright.views.text_format import counted

app = typer.Typer(help="The stores that hold the runs.")

Origin = Annotated[str, typer.Option("--from", metavar="STORE", help=f"One of: {', '.join(STORES)}.")]
Destination = Annotated[str, typer.Option("--to", metavar="STORE", help="The store to move them to.")]
Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[ENV]...",
        help="Only these environments, or runs that belong to none; default: all that is in the store.",
    ),
]


@app.command("migrate")
def migrate_runs(
    origin: Origin,
    destination: Destination,
    words: Words = None,
    state_dir: StateDir = None,
    json: Json = False,
    _no_color: NoColor = False,
) -> int:
    """Move environments with all their runs to another store and compare every event. It can be repeated."""
    for option, name in (("--from", origin), ("--to", destination)):
        if name not in STORES:
            raise UsageError(f"{option} {name}: there is no such store", hint=f"Known: {', '.join(STORES)}.")

    async def work() -> list[MovedRun | MovedEnvironment]:
        made = []
        async with Stores(settings_of(state_dir)) as stores:
            async for one in migrate(stores, SystemClock(), origin, destination, words or ()):
                made.append(one)
                if not json:
                    _tell_moved(one)
        return made

    made = asyncio.run(work())
    runs = [one for one in made if isinstance(one, MovedRun)]
    environments = [one for one in made if isinstance(one, MovedEnvironment)]
    left = [one for one in made if one.left]
    if json:
        print_json({"from": origin, "to": destination, "environments": environments, "runs": runs})
    else:
        whole = counted(sum(not one.left for one in environments), "environment")
        note(
            f"{whole} and {counted(sum(not one.left for one in runs), 'run')} moved from {origin} to {destination}"
            + (f", {len(left)} left" if left else "")
        )
    return Exit.NO if left else Exit.OK


def _tell_moved(one: MovedRun | MovedEnvironment) -> None:
    name = f"{one.run}  {one.workflow}" if isinstance(one, MovedRun) else f"environment {one.name}"
    if one.left:
        note(f"{name}: not moved: {one.left}", "yellow")
    elif isinstance(one, MovedRun):
        say(f"{name}: {counted(one.events, 'event')}, all compared")
    else:
        say(f"{name}: {counted(one.resources, 'resource')}")


@app.command("check")
def check_stores(
    chain: Annotated[
        str, typer.Option("--chain", metavar="RUN", help="Only this run: print DIGEST@SEQ, for you to keep elsewhere.")
    ] = "",
    expect: Annotated[
        str,
        typer.Option(
            "--expect", metavar="DIGEST[@SEQ]", help="With --chain: check that an earlier digest is on the chain."
        ),
    ] = "",
    accept_loss: Annotated[
        bool, typer.Option("--accept-loss", help="Continue although acknowledged events are missing.")
    ] = False,
    state_dir: StateDir = None,
    json: Json = False,
    _no_color: NoColor = False,
) -> int:
    """Read every run of every store: check that no acknowledged event is missing, chains hold and all events fold."""
    if expect and not chain:
        raise UsageError("--expect needs --chain", hint="batchwright store check --chain RUN --expect DIGEST@SEQ")
    if chain and accept_loss:
        raise UsageError("--chain and --accept-loss cannot be combined")
    settings = settings_of(state_dir)
    return asyncio.run(_chain(settings, chain, expect, json) if chain else _check(settings, json, accept_loss))


async def _check(settings: Settings, json: bool, accept_loss: bool) -> int:
    runs: list[IntegrityReport] = []
    seen: list[StoreSeen] = []
    async with Stores(settings) as stores:
        async for one in check(stores, SystemClock(), accept_loss=accept_loss):
            if isinstance(one, IntegrityReport):
                runs.append(one)
            else:
                seen.append(one)
            if not json:
                _tell_found(one) if isinstance(one, IntegrityReport) else _tell_store(one)
    bad = sum(bool(one.problems) for one in runs)
    broken = sum(bool(one.problems) for one in seen)
    if json:
        print_json({"ok": not bad and not broken, "runs": runs, "stores": seen})
    else:
        events = sum(one.events for one in runs)
        note(
            f"{counted(len(runs), 'run')}, {counted(events, 'event')}, {counted(bad, 'run')} with a problem"
            + (f", {counted(broken, 'store')} with a problem" if broken else "")
        )
    return Exit.NO if bad or broken else Exit.OK


def _tell_found(one: IntegrityReport) -> None:
    for problem in one.problems:
        note(f"{one.run}  {one.workflow} in {one.store}: {problem}", "red")
    if not one.problems:
        say(f"{one.run}  {one.workflow} in {one.store}: {counted(one.events, 'event')}, sound; {_chain_in_words(one)}")


def _chain_in_words(one: IntegrityReport) -> str:
    if not one.chained_from:
        return "written before chains existed"
    since = f" from event {one.chained_from} on" if one.chained_from > 1 else ""
    return f"chained{since}, head {one.head[:16]}@{one.events}"


def _tell_store(one: StoreSeen) -> None:
    for problem in one.problems:
        note(f"{one.store}: {problem}", "red")
    for loss in one.accepted:
        note(f"{one.store}: accepted: {loss}", "yellow")
    if one.complete and not one.accepted:
        say(f"{one.store}: has all acknowledged events")


async def _chain(settings: Settings, word: str, expected: str, json: bool) -> int:
    async with Stores(settings) as stores:
        found = await chain_of(stores, word, expected)
    place = f"{found.head.digest}@{found.head.seq}"
    if json:
        print_json(found)
    elif found.chained_from:
        say(place)
    if not found.chained_from:
        note(f"run {found.run} was written before chains existed; its next event starts one", "yellow")
        return Exit.NO
    if not expected:
        return Exit.OK
    if not found.expected:
        note(f"{expected} is not on the chain of run {found.run}: the journal is not the one checked earlier", "red")
        return Exit.NO
    note(f"{expected} is on the chain of run {found.run}, followed by {counted(found.after, 'event')}")
    return Exit.OK
