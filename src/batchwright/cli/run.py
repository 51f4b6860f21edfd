"""Commands that change the world or ask a running one to: run, resume, rollback, cancel, pause."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from batchwright.app.foreground import Foreground
from batchwright.app.planned import Planned
from batchwright.app.plans import approve, check, make_plan
from batchwright.app.rollback_impact import planned_undo
from batchwright.app.run_reader import OpenedRun, look, unfinished
from batchwright.app.runs import nothing_to_pause
from batchwright.app.settings import Settings
from batchwright.app.stores import Stores
from batchwright.app.system_clock import SystemClock
from batchwright.cli import remote_runs
from batchwright.cli.exit_codes import Exit
from batchwright.cli.foreground import ForegroundRun
from batchwright.cli.options import (
    Catalogues,
    FileArgument,
    Inputs,
    Json,
    NoColor,
    OnlyCheck,
    Overlays,
    RunArgument,
    Sim,
    Simulate,
    StateDir,
    settings_of,
    simulation_of,
    source_of,
)
from batchwright.cli.output import about, confirm, note, print_json, say, show_diagnostics, show_error, unasked
from batchwright.cli.plan import plan
from batchwright.cli.target import Url, chosen
from batchwright.cli.text import show_brief, show_preview
from batchwright.client.http import HttpClient
from batchwright.engine.rollback_preview import PlannedUndo, UndoKind
from batchwright.errors import RunUnfinished, SecretMissing, StoreError
from batchwright.model.clock import Clock
from batchwright.model.lifecycle import RunState
from batchwright.model.plan import Plan
from batchwright.model.run import Run
from batchwright.model.summary import SignalKind
from batchwright.model.workflow import Workflow
from batchwright.views.definition import digest
from batchwright.views.plan import plan_view
from batchwright.views.wording import counted, some

Force = Annotated[bool, typer.Option("--force", help="Do not wait for what is in flight; it is in doubt afterwards.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
OnlyPlan = Annotated[bool, typer.Option("--plan", help="Show what would be undone, and do nothing.")]
PlanHash = Annotated[
    str | None, typer.Option("--plan-hash", metavar="HASH", help="Refuse if the plan is not the one with this hash.")
]
Anyway = Annotated[bool, typer.Option("--anyway", help="Start although an earlier run of this workflow has not ended.")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with the last run of this workflow if its process died, else start one.")
]
Redo = Annotated[
    list[str] | None,
    typer.Option("--redo", metavar="STEP", help="Run this command again, of which nobody knows how far it got."),
]
Skip = Annotated[
    list[str] | None,
    typer.Option("--skip", metavar="STEP", help="Take this command as done, of which nobody knows how far it got."),
]


def user() -> str:
    """Who asks, for the journal."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        return "cli"


# -- run ------------------------------------------------------------------------------------------------------------


def run(
    file: FileArgument,
    simulate: Simulate = False,
    sim: Sim = None,
    plan_hash: PlanHash = None,
    only_check: OnlyCheck = False,
    resume: Resume = False,
    anyway: Anyway = False,
    overlay: Overlays = None,
    inputs: Inputs = None,
    catalogue: Catalogues = None,
    state_dir: StateDir = None,
    json: Json = False,
    _no_color: NoColor = False,
) -> int:
    """Check, plan and run a workflow, and show it live. Ctrl-C cancels; twice leaves at once."""
    if only_check:
        return plan(file, simulate, sim, only_check, overlay, inputs, catalogue, state_dir, json)
    settings, clock = settings_of(state_dir, catalogue), SystemClock()
    source, simulation = source_of(file, overlay, inputs), simulation_of(simulate, sim)

    async def work() -> int:
        workflow, simulated = check(source, settings).workflow, simulation is not None
        own = digest(workflow) if workflow is not None else ""
        async with Stores(settings) as stores:
            if resume and (found := await unfinished(stores, clock, workflow, simulated)):
                await note_differences(stores, found, file, own)
                return await go_on_with(settings, stores, found, json=json)
            if not anyway:  # before the plan, which would wait for the servers that the unfinished run is making
                with contextlib.suppress(StoreError, SecretMissing):  # the plan tells it with all else
                    await refuse_beside(stores, clock, workflow, simulated=simulated)
        planned = await make_plan(settings, clock, source, simulation)
        if planned.plan is None:
            return refuse(planned, json=json)
        with about(FILE=str(file)):
            approve(planned.plan, plan_hash)
        async with Stores(settings) as stores:
            if not anyway:
                await refuse_beside(stores, clock, check(source, settings).workflow, simulated=simulation is not None)
                for name, error in stores.troubles.items():
                    note(f"the store {name} is left out: {error.message}")
            return await start(settings, stores, planned, planned.plan, own, json=json)

    return asyncio.run(work())


async def note_differences(stores: Stores, run_id: str, file: Path, own: str) -> None:
    """Say that the unfinished run was planned from something else than the file is now."""
    planned_from = (await look(stores, run_id, SystemClock())).run.created.source
    if planned_from and planned_from != own:
        note(
            f"{file} differs from what run {run_id} was planned from: the recorded plan is applied, not the file",
            "yellow",
        )
        note(f"to apply the file instead: batchwright cancel {run_id}, then run it again")


async def refuse_beside(stores: Stores, clock: Clock, workflow: Workflow | None, *, simulated: bool) -> None:
    """Raise RunUnfinished, or RunHeld, for a workflow of which a run has not ended."""
    if found := await unfinished(stores, clock, workflow, simulated):
        raise RunUnfinished(
            f"run {found} of this workflow has not ended and nobody drives it",
            hint=f"Go on with it: batchwright resume {found}. To start another all the same, add --anyway.",
        )


def refuse(planned: Planned, *, json: bool) -> int:
    """Say why there is no plan."""
    if not json:
        show_diagnostics(planned.diagnostics)
    show_error(planned.refusal(), json=json, diagnostics=planned.diagnostics)
    return Exit.NO


async def start(settings: Settings, stores: Stores, planned: Planned, plan: Plan, source: str, *, json: bool) -> int:
    """Record the run and drive it."""
    attended = ForegroundRun(settings, stores, user(), json=json)
    if not json:
        show_diagnostics(planned.diagnostics)
        show_brief(plan_view(plan))
    run_id = await attended.foreground.drives.create(plan, user(), source=source)
    (note if json else say)(f"run {run_id}")
    with about(RUN=run_id):
        return code(await attended.drive(run_id, lambda foreground: foreground.drives.resume(run_id, user())))


async def go_on_with(settings: Settings, stores: Stores, run_id: str, *, json: bool) -> int:
    """Go on with a run whose process died."""
    (note if json else say)(f"run {run_id} of this workflow was not finished: going on with it, as it was planned then")
    with about(RUN=run_id):
        attended = ForegroundRun(settings, stores, user(), json=json)
        return code(await attended.drive(run_id, lambda foreground: foreground.drives.resume(run_id, user())))


def code(exit_code: Exit | None) -> int:
    """Of a verb that always drives here."""
    assert exit_code is not None
    return exit_code


# -- resume ---------------------------------------------------------------------------------------------------------


def resume_run(
    run: RunArgument,
    redo: Redo = None,
    skip: Skip = None,
    catalogue: Catalogues = None,
    state_dir: StateDir = None,
    url: Url = None,
    json: Json = False,
    _no_color: NoColor = False,
) -> int:
    """Let a run go on: one whose process died, a paused one, or what is not done of a Failed or Cancelled one."""
    if isinstance(service := chosen(url, state_dir), HttpClient):
        return remote_runs.resume(service, run, json=json, redo=redo or (), skip=skip or ())
    settings = settings_of(state_dir, catalogue)

    async def work() -> int:
        async with Stores(settings) as stores:
            sight = await look(stores, run, SystemClock())
            with about(RUN=sight.run.id):
                attended = ForegroundRun(settings, stores, user(), json=json)
                answers = (redo or (), skip or ())
                if sight.driven and sight.run.status is RunState.PAUSED and not any(answers):
                    await attended.foreground.drives.ask(sight.run.id, SignalKind.RESUME, user(), (RunState.PAUSED,))
                    return asked(sight, "resume", json=json)
                note(f"run {sight.run.id}: {sight.run.plan.workflow} {sight.run.plan.version}")
                return code(
                    await attended.drive(sight.run.id, lambda f: f.drives.resume(sight.run.id, user(), *answers))
                )

    return asyncio.run(work())


def asked(sight: OpenedRun, verb: str, *, json: bool) -> int:
    """Say that the process that drives the run has been asked."""
    if json:
        print_json({"run": sight.run.id, "asked": verb, "driver": sight.driver})
    else:
        say(f"asked the process that drives run {sight.run.id} to {verb} it")
        say(f"next: batchwright monitor {sight.run.id}")
    return Exit.OK


# -- pause and cancel -----------------------------------------------------------------------------------------------


def pause(
    run: RunArgument, state_dir: StateDir = None, url: Url = None, json: Json = False, _no_color: NoColor = False
) -> int:
    """Start nothing new; what is in flight ends. `resume` lets it go on."""
    if isinstance(service := chosen(url, state_dir), HttpClient):
        return remote_runs.ask(service, run, "pause", json=json)
    settings = settings_of(state_dir)

    async def work() -> int:
        async with Stores(settings) as stores:
            sight = await look(stores, run, SystemClock())
            with about(RUN=sight.run.id):
                drives = Foreground(settings, stores, SystemClock()).drives
                if not await drives.ask(sight.run.id, SignalKind.PAUSE, user(), (RunState.PENDING, RunState.RUNNING)):
                    raise nothing_to_pause(sight.run.id)
                return asked(sight, "pause", json=json)

    return asyncio.run(work())


def cancel(
    run: RunArgument,
    force: Force = False,
    state_dir: StateDir = None,
    url: Url = None,
    json: Json = False,
    _no_color: NoColor = False,
) -> int:
    """End a run once what is in flight has ended; what it made stays until a rollback."""
    if isinstance(service := chosen(url, state_dir), HttpClient):
        return remote_runs.ask(service, run, "cancel", json=json, force=force)
    settings = settings_of(state_dir)

    async def work() -> int:
        async with Stores(settings) as stores:
            sight = await look(stores, run, SystemClock())
            with about(RUN=sight.run.id):
                attended = ForegroundRun(settings, stores, user(), json=json)
                ended = await attended.drive(sight.run.id, lambda f: f.drives.cancel(sight.run.id, user(), force=force))
                if ended is None:
                    return asked(sight, "cancel", json=json)
                return Exit.OK if ended is Exit.STOPPED else ended

    return asyncio.run(work())


# -- rollback -------------------------------------------------------------------------------------------------------


def rollback(
    run: RunArgument,
    only_plan: OnlyPlan = False,
    yes: Yes = False,
    catalogue: Catalogues = None,
    state_dir: StateDir = None,
    url: Url = None,
    json: Json = False,
    _no_color: NoColor = False,
) -> int:
    """Undo in reverse order what a run made, and only that."""
    if isinstance(service := chosen(url, state_dir), HttpClient):
        return remote_runs.rollback(service, run, only_plan=only_plan, yes=yes, json=json)
    settings = settings_of(state_dir, catalogue)

    async def work() -> int:
        async with Stores(settings) as stores:
            sight = await look(stores, run, SystemClock())
            with about(RUN=sight.run.id):
                if only_plan:
                    undos = await planned_undo(settings, SystemClock(), sight.run)
                    return preview(sight.run, undos, json=json)
                if not yes and not sys.stdin.isatty():
                    raise unasked()
                if not yes and not agreed(sight.run, await planned_undo(settings, SystemClock(), sight.run)):
                    note("nothing was changed")
                    return Exit.STOPPED
                note(f"run {sight.run.id}: rolling back {sight.run.plan.workflow} {sight.run.plan.version}")
                attended = ForegroundRun(settings, stores, user(), json=json)
                return code(await attended.drive(sight.run.id, lambda f: f.drives.rollback(sight.run.id, user())))

    return asyncio.run(work())


def preview(run: Run, undos: Sequence[PlannedUndo], *, json: bool) -> int:
    """Show what a rollback would do."""
    if json:
        print_json({"run": run.id, "undo": undos})
    else:
        show_preview(run.id, undos)
    return Exit.OK


def agreed(run: Run, undos: Sequence[PlannedUndo]) -> bool:
    """Ask before something is destroyed."""
    show_preview(run.id, undos, to_stderr=True)
    return confirm(f"Undo {_what(undos)}?")


def _what(undos: Sequence[PlannedUndo]) -> str:
    kinds = Counter(one.what for one in undos)
    parts = [words.format(counted(kinds[kind], noun)) for kind, noun, words in _UNDONE if kinds[kind]]
    return some(parts) or "this run"


_UNDONE = (
    (UndoKind.DESTROY, "server", "{}"),
    (UndoKind.RELEASE, "server", "{} that will only be let go"),
    (UndoKind.REMOVE, "task service", "{}"),
    (UndoKind.RUN, "command", "{}"),
)
