"""Commands that control a run: resume, pause, cancel, rollback."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from typing import Annotated

import typer

from batchwright.cli.exit_codes import Exit
from batchwright.cli.monitor import shown
from batchwright.cli.options import (
    Catalogues,
    Json,
    NoColor,
    RunArgument,
    StateDir,
)
from batchwright.cli.output import confirm, note, print_json, say, unasked
from batchwright.cli.target import Url, chosen_run
from batchwright.cli.view_printer import show_preview
from batchwright.client.progress import Progress
from batchwright.engine.manual_resolution import ResumeAnswers
from batchwright.engine.rollback_preview import PlannedUndo, UndoKind
from batchwright.model.events import DoubtForgotten
from batchwright.views.events import event_line
from batchwright.views.text_format import counted, some

Force = Annotated[bool, typer.Option("--force", help="Do not wait for calls in flight; they are in doubt afterwards.")]


Yes = Annotated[bool, typer.Option("--yes", "-y", help="Skip the confirmation.")]


OnlyPlan = Annotated[bool, typer.Option("--plan", help="Show what would be undone, and change nothing.")]


Redo = Annotated[
    list[str] | None,
    typer.Option("--redo", metavar="STEP", help="Run this command, which is in doubt, again; may be repeated."),
]


Skip = Annotated[
    list[str] | None,
    typer.Option("--skip", metavar="STEP", help="Mark this command, which is in doubt, as done; may be repeated."),
]


Output = Annotated[
    list[str] | None,
    typer.Option(
        "--output",
        metavar="KEY=VALUE",
        help="What a skipped command gave; OPERATION.KEY=VALUE if several are skipped. May be repeated.",
    ),
]


Forget = Annotated[
    list[str] | None,
    typer.Option(
        "--forget",
        metavar="LANE",
        help="Its provider is gone for good: give up the calls of unknown outcome, and do no more. May be repeated.",
    ),
]


def asked(run: str, verb: str, driver: str, *, json: bool) -> int:
    """Report that the process that drives the run was asked to do it."""
    if json:
        print_json({"run": run, "asked": verb, "driver": driver})
    else:
        say(f"asked the process that drives run {run} to {verb} it")
        say(f"next: batchwright monitor {run}")
    return Exit.OK


def resume_run(
    run: RunArgument,
    redo: Redo = None,
    skip: Skip = None,
    output: Output = None,
    forget: Forget = None,
    catalogue: Catalogues = None,
    state_dir: StateDir = None,
    url: Url = None,
    json: Json = False,
    _no_color: NoColor = False,
) -> int:
    """Continue a run: one whose process died, a paused one, or the unfinished steps of a Failed or Cancelled one."""
    with chosen_run(run, url, state_dir, catalogue) as (client, view):
        answers = ResumeAnswers(redo or (), skip or (), forget or (), output or ())
        progress = client.act(view.run, "resume", answers=answers)
        if forget:
            return _forgotten(progress, view.run, json=json)
        if progress.driver:
            return asked(view.run, "resume", progress.driver, json=json)
        return shown(client, progress, view.run, json=json, told=f"run {view.run}: {view.environment} {view.version}")


def _forgotten(progress: Progress, run: str, *, json: bool) -> int:
    """Say what may be left behind in the lanes whose calls were given up."""
    with progress:
        found = [one for update in progress for one in update.events if isinstance(one, DoubtForgotten)]
    if json:
        print_json({"run": run, "forgotten": [{"lane": one.lane, "servers": one.servers} for one in found]})
    else:
        for one in found:
            say(event_line(one))
        say(f"the next run may begin; to continue this one: batchwright resume {run}")
    return Exit.OK


def pause(
    run: RunArgument, state_dir: StateDir = None, url: Url = None, json: Json = False, _no_color: NoColor = False
) -> int:
    """Start no new steps; steps in flight finish. `resume` continues the run."""
    with chosen_run(run, url, state_dir) as (client, view):
        return asked(view.run, "pause", client.act(view.run, "pause").driver, json=json)


def cancel(
    run: RunArgument,
    force: Force = False,
    state_dir: StateDir = None,
    url: Url = None,
    json: Json = False,
    _no_color: NoColor = False,
) -> int:
    """End a run once the calls in flight have finished. What it created stays until a rollback."""
    with chosen_run(run, url, state_dir, destroys=force) as (client, view):
        progress = client.act(view.run, "cancel", force=force)
        if progress.driver:
            return asked(view.run, "cancel", progress.driver, json=json)
        ended = shown(client, progress, view.run, json=json)
        return Exit.OK if ended == Exit.STOPPED else ended


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
    """Undo what a run created and changed, and only that, in reverse order."""
    with chosen_run(run, url, state_dir, catalogue, destroys=not only_plan) as (client, view):
        if only_plan:
            undos = client.rollback_preview(view.run)
            print_json({"run": view.run, "undo": undos}) if json else show_preview(view.run, undos)
            return Exit.OK
        if not yes and not sys.stdin.isatty():
            raise unasked("rollback", "RUN")
        if not yes and not _agreed(view.run, client.rollback_preview(view.run)):
            note("nothing was changed")
            return Exit.STOPPED
        told = f"run {view.run}: rolling back {view.environment} {view.version}"
        return shown(client, client.act(view.run, "rollback"), view.run, json=json, told=told)


def _agreed(run: str, undos: Sequence[PlannedUndo]) -> bool:
    """Show what would be undone and ask for confirmation."""
    show_preview(run, undos, to_stderr=True)
    return confirm(f"Undo {_what(undos)}?")


def _what(undos: Sequence[PlannedUndo]) -> str:
    kinds = Counter(one.what for one in undos)
    parts = [words.format(counted(kinds[kind], noun)) for kind, noun, words in _UNDONE if kinds[kind]]
    return some(parts) or "this run"


_UNDONE = (
    (UndoKind.DESTROY, "server", "{}"),
    (UndoKind.RELEASE, "server", "{} that will be released, not destroyed"),
    (UndoKind.REMOVE, "task service", "{}"),
    (UndoKind.RESTORE, "change", "{}"),
    (UndoKind.RUN, "command", "{}"),
    (UndoKind.FINISH, "removal", "{} that will be finished, not undone"),
)
