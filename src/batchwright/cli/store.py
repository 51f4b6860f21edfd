"""The commands for stores: store migrate, store check, store prune, store import."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from batchwright.app.archive_restore import import_archive
from batchwright.app.environment_transfer import MovedEnvironment, MovedRun
from batchwright.app.multi_store import STORES, Stores
from batchwright.app.settings import Settings
from batchwright.app.store_check import IntegrityReport, StoreSeen, chain_of, check
from batchwright.app.store_prune import plan_prune, prune
from batchwright.app.store_transfer import migrate
from batchwright.app.system_clock import SystemClock
from batchwright.cli.completion import environments
from batchwright.cli.exit_codes import Exit
from batchwright.cli.options import Json, NoColor, StateDir, settings_of, window
from batchwright.cli.output import note, print_json, say
from batchwright.errors import UsageError
from batchwright.model.retention import Retention
from batchwright.views.store_prune import ImportedRun, PruneResult, import_lines, prune_lines, result_lines
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
        events = f"{counted(one.events, 'event')}, all compared"
        say(f"{name}: {events if one.events else 'only its line, since it is archived'}")
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
        events = "archived" if one.archive else f"{counted(one.events, 'event')}, sound"
        say(f"{one.run}  {one.workflow} in {one.store}: {events}; {_chain_in_words(one)}")


def _chain_in_words(one: IntegrityReport) -> str:
    if one.archive:
        return f"its events are in {one.archive}"
    if not one.chained_from:
        return "written before chains existed"
    since = f" from event {one.chained_from} on" if one.chained_from > 1 else ""
    return f"chained{since}, head {one.head[:16]}@{one.events}"


def _tell_store(one: StoreSeen) -> None:
    for problem in one.problems:
        note(f"{one.store}: {problem}", "red")
    for loss in one.accepted:
        note(f"{one.store}: accepted: {loss}", "yellow")
    for name, turn in one.bases.items():
        say(f"{one.store}: older runs of {name} are archived; what it has was checked from turn {turn} on")
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


Keep = Annotated[
    int | None, typer.Option("--keep", min=1, metavar="N", help="Keep at least the newest N runs of each environment.")
]
OlderThan = Annotated[
    str, typer.Option("--older-than", metavar="SPAN", help="Keep what changed within this time: 24h, 90d.")
]
OfEnvironment = Annotated[
    str,
    typer.Option("--environment", metavar="ENV", help="Only runs of this environment.", autocompletion=environments),
]
ToArchive = Annotated[
    Path | None,
    typer.Option(
        "--archive", metavar="FILE|DIR", help="Where the archive goes; default: archives/ in the state folder."
    ),
]
OnlyPlan = Annotated[bool, typer.Option("--plan", help="Only show what would go, and why the rest stays.")]


@app.command("prune")
def prune_runs(
    keep: Keep = None,
    older_than: OlderThan = "",
    environment: OfEnvironment = "",
    archive: ToArchive = None,
    plan: OnlyPlan = False,
    state_dir: StateDir = None,
    json: Json = False,
    _no_color: NoColor = False,
) -> int:
    """Put the events of old runs into an archive, then delete them. What something still needs stays.

    A run goes if neither --keep nor --older-than keeps it; give at least one. Its line in the list stays.
    """
    if keep is None and not older_than:
        raise UsageError(
            "say what is to stay: --keep N, --older-than SPAN or both",
            hint="batchwright store prune --keep 20 --older-than 90d",
        )
    wanted = Retention(keep or 0, window(older_than, "--older-than") if older_than else 0.0)
    settings = settings_of(state_dir)

    async def work() -> PruneResult:
        async with Stores(settings) as stores:
            if plan:
                return PruneResult(await plan_prune(stores, SystemClock(), wanted, environment))
            return await prune(settings, stores, SystemClock(), wanted, environment, archive)

    result = asyncio.run(work())
    if json:
        print_json(result)
    else:
        _tell_pruned(result, plan=plan)
    return Exit.NO if result.refused else Exit.OK


def _tell_pruned(result: PruneResult, *, plan: bool) -> None:
    done = "would be archived" if plan else "archived"
    for one in result.environments:
        for line in prune_lines(one, done):
            note(line, "yellow") if one.left else say(line)
    if plan:
        runs = sum(len(one.runs) for one in result.environments)
        note(f"{counted(runs, 'run')} would be archived; nothing was changed")
        return
    for line in result_lines(result):
        note(line)
    if result.archive:
        say(result.archive)


@app.command("import")
def import_runs(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An archive that store prune made.", show_default=False)],
    state_dir: StateDir = None,
    json: Json = False,
    _no_color: NoColor = False,
) -> int:
    """Take all runs of an archive back into the stores that they left. It can be repeated."""
    settings = settings_of(state_dir)

    async def work() -> list[ImportedRun]:
        async with Stores(settings) as stores:
            return [one async for one in import_archive(settings, stores, file)]

    runs = asyncio.run(work())
    if json:
        print_json({"archive": str(file), "runs": runs})
    else:
        for line in import_lines(runs):
            note(line)
    return Exit.OK
