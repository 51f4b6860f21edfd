"""Commands that change the world or ask a running one to: run, resume, rollback, cancel, pause."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from batchwright.app.planned import Planned
from batchwright.app.plans import approve, check, plan_source
from batchwright.app.run_reader import unfinished
from batchwright.cli.exit_codes import Exit
from batchwright.cli.monitor import show_progress
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
from batchwright.cli.screen import screen_for
from batchwright.cli.target import Url, chosen_run, show_warnings
from batchwright.cli.text import show_brief, show_end, show_preview
from batchwright.client.base import Client
from batchwright.client.local import LocalClient
from batchwright.client.progress import Progress
from batchwright.engine.rollback_preview import PlannedUndo, UndoKind
from batchwright.errors import RunUnfinished, SecretMissing, StoreError
from batchwright.loader import Loaded
from batchwright.views.definition import digest
from batchwright.views.plan import plan_view
from batchwright.views.run import RunView
from batchwright.views.wording import counted, some

Force = Annotated[bool, typer.Option("--force", help="Do not wait for calls in flight; they are in doubt afterwards.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Skip the confirmation.")]
OnlyPlan = Annotated[bool, typer.Option("--plan", help="Show what would be undone and do nothing.")]
PlanHash = Annotated[
    str | None, typer.Option("--plan-hash", metavar="HASH", help="Refuse any plan with a different hash.")
]
Anyway = Annotated[bool, typer.Option("--anyway", help="Start even if an earlier run of this workflow has not ended.")]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Continue the last run of this workflow if its process died; otherwise start one."),
]
Redo = Annotated[
    list[str] | None,
    typer.Option("--redo", metavar="STEP", help="Run this command, which is in doubt, again; may be repeated."),
]
Skip = Annotated[
    list[str] | None,
    typer.Option("--skip", metavar="STEP", help="Mark this command, which is in doubt, as done; may be repeated."),
]


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
    source, simulation = source_of(file, overlay, inputs), simulation_of(simulate, sim)
    with LocalClient(settings_of(state_dir, catalogue)) as client:
        loaded = check(source, client.settings)
        simulated, own = simulation is not None, digest(loaded.workflow) if loaded.workflow is not None else ""
        if resume and (found := _unfinished(client, loaded, simulated=simulated)):
            _note_differences(client, found, file, own)
            said = f"run {found} of this workflow is unfinished: continuing it as it was planned"
            (note if json else say)(said)
            with about(RUN=found):
                return _shown(client, client.act(found, "resume"), found, json=json)
        if not anyway:  # before the plan, which would wait for the servers that the unfinished run is making
            with contextlib.suppress(StoreError, SecretMissing):  # the plan tells it with all else
                _refuse_beside(client, loaded, simulated=simulated)
        planned = client.wait(plan_source(client.settings, client.clock, client.stores, source, loaded, simulation))
        if planned.plan is None:
            return refuse(planned, json=json)
        with about(FILE=str(file)):
            approve(planned.plan, plan_hash)
        if not anyway:
            _refuse_beside(client, loaded, simulated=simulated)
            show_warnings(client)
        if not json:
            show_diagnostics(planned.diagnostics)
            show_brief(plan_view(planned.plan))
        run_id, progress = client.start(planned.plan, own)
        (note if json else say)(f"run {run_id}")
        with about(RUN=run_id):
            return _shown(client, progress, run_id, json=json)


def _unfinished(client: LocalClient, loaded: Loaded, *, simulated: bool) -> str | None:
    """The run of this workflow that has not ended and that nobody drives. Raises RunHeld if somebody does."""
    return client.wait(unfinished(client.stores, client.clock, loaded.workflow, simulated))


def _note_differences(client: LocalClient, run_id: str, file: Path, own: str) -> None:
    """Say that the unfinished run was planned from something else than the file is now."""
    planned_from = client.look(run_id).run.created.source
    if planned_from and planned_from != own:
        note(
            f"{file} differs from what run {run_id} was planned from: the recorded plan is applied, not the file",
            "yellow",
        )
        note(f"to apply the file instead: batchwright cancel {run_id}, then run it again")


def _refuse_beside(client: LocalClient, loaded: Loaded, *, simulated: bool) -> None:
    """Raise RunUnfinished, or RunHeld, for a workflow of which a run has not ended."""
    if found := _unfinished(client, loaded, simulated=simulated):
        raise RunUnfinished(
            f"run {found} of this workflow has not ended and no process drives it",
            hint=f"Continue it: batchwright resume {found}. To start a new run anyway, add --anyway.",
        )


def refuse(planned: Planned, *, json: bool) -> int:
    """Say why there is no plan."""
    if not json:
        show_diagnostics(planned.diagnostics)
    show_error(planned.refusal(), json=json, diagnostics=planned.diagnostics)
    return Exit.NO


# -- verbs ----------------------------------------------------------------------------------------------------------


def _shown(client: Client, progress: Progress, run: str, *, json: bool, told: str = "") -> int:
    """Show a run that goes on because of this command, and how long it took."""
    began = time.time()

    def ending(view: RunView) -> None:
        show_end(view, time.time() - began)

    return show_progress(client, progress, run, screen_for(stderr=json), json=json, told=told, ending=ending)


def _asked(run: str, verb: str, driver: str, *, json: bool) -> int:
    """Say that the process that drives the run has been asked."""
    if json:
        print_json({"run": run, "asked": verb, "driver": driver})
    else:
        say(f"asked the process that drives run {run} to {verb} it")
        say(f"next: batchwright monitor {run}")
    return Exit.OK


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
    with chosen_run(run, url, state_dir, catalogue) as (client, view):
        progress = client.act(view.run, "resume", redo=redo or (), skip=skip or ())
        if progress.driver:
            return _asked(view.run, "resume", progress.driver, json=json)
        return _shown(client, progress, view.run, json=json, told=f"run {view.run}: {view.workflow} {view.version}")


# -- pause and cancel -----------------------------------------------------------------------------------------------


def pause(
    run: RunArgument, state_dir: StateDir = None, url: Url = None, json: Json = False, _no_color: NoColor = False
) -> int:
    """Start nothing new; what is in flight ends. `resume` lets it go on."""
    with chosen_run(run, url, state_dir) as (client, view):
        return _asked(view.run, "pause", client.act(view.run, "pause").driver, json=json)


def cancel(
    run: RunArgument,
    force: Force = False,
    state_dir: StateDir = None,
    url: Url = None,
    json: Json = False,
    _no_color: NoColor = False,
) -> int:
    """End a run once what is in flight has ended; what it made stays until a rollback."""
    with chosen_run(run, url, state_dir) as (client, view):
        progress = client.act(view.run, "cancel", force=force)
        if progress.driver:
            return _asked(view.run, "cancel", progress.driver, json=json)
        ended = _shown(client, progress, view.run, json=json)
        return Exit.OK if ended == Exit.STOPPED else ended


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
    with chosen_run(run, url, state_dir, catalogue) as (client, view):
        if only_plan:
            undos = client.undo(view.run)
            print_json({"run": view.run, "undo": undos}) if json else show_preview(view.run, undos)
            return Exit.OK
        if not yes and not sys.stdin.isatty():
            raise unasked()
        if not yes and not _agreed(view.run, client.undo(view.run)):
            note("nothing was changed")
            return Exit.STOPPED
        told = f"run {view.run}: rolling back {view.workflow} {view.version}"
        return _shown(client, client.act(view.run, "rollback"), view.run, json=json, told=told)


def _agreed(run: str, undos: Sequence[PlannedUndo]) -> bool:
    """Ask before something is destroyed."""
    show_preview(run, undos, to_stderr=True)
    return confirm(f"Undo {_what(undos)}?")


def _what(undos: Sequence[PlannedUndo]) -> str:
    kinds = Counter(one.what for one in undos)
    parts = [words.format(counted(kinds[kind], noun)) for kind, noun, words in _UNDONE if kinds[kind]]
    return some(parts) or "this run"


_UNDONE = (
    (UndoKind.DESTROY, "server", "{}"),
    (UndoKind.RELEASE, "server", "{} that will only be released"),
    (UndoKind.REMOVE, "task service", "{}"),
    (UndoKind.RUN, "command", "{}"),
)
