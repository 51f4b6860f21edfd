"""A plan file as the argument of `run` and `plan`: the plan that it holds, instead of one made of a workflow."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from batchwright.app.catalogue_changes import with_catalogues
from batchwright.app.environment_turn_wait import TurnWait, busy_in, wait_for_turn_of
from batchwright.app.plan_files import OpenedPlanFile, look_at_plan_file, read_plan_file
from batchwright.app.planned import Planned
from batchwright.app.plans import approve
from batchwright.app.settings import Settings
from batchwright.cli.exit_codes import Exit
from batchwright.cli.monitor import shown, shown_from_start
from batchwright.cli.output import about, note, say, show_diagnostics, show_error
from batchwright.client.local import LocalClient
from batchwright.errors import BatchwrightError, EnvironmentBusy, EnvironmentMoved, PlanChanged, UsageError
from batchwright.model.clock import Clock
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.environment import EnvironmentKey

Directory = Annotated[
    Path | None,
    typer.Option(
        "--dir",
        metavar="DIR",
        help="What the folders of commands in a plan file are relative to; default: the folder of the plan file.",
    ),
]


def opened_plan(file: Path, folder: Path | None, given: Mapping[str, object]) -> OpenedPlanFile:
    """Read it, unless options were given that would make it another plan. Raises UsageError, PlanFileInvalid."""
    if named := [name for name, value in given.items() if value]:
        message = f"{file} is a plan, which {' and '.join(named)} cannot change"
        raise UsageError(message, hint=f"Make the plan again with {' and '.join(named)}.")
    return read_plan_file(file, folder)


def refuse_directory(file: Path, folder: Path | None) -> None:
    """Raise UsageError for a workflow file: its commands' folders are relative to it."""
    if folder is not None:
        hint = "The folders of its commands are relative to the file."
        raise UsageError(f"--dir is for plan files, and {file} is a workflow", hint=hint)


def looked_at(settings: Settings, clock: Clock, opened: OpenedPlanFile) -> Planned:
    """Whether its plan holds here; if not, the diagnostics say why."""
    try:
        return asyncio.run(look_at_plan_file(settings, clock, opened))
    except PlanChanged as error:
        return Planned(None, tuple(one for one in error.diagnostics if isinstance(one, Diagnostic)))


def run_plan_file(
    opened: OpenedPlanFile, settings: Settings, *, plan_hash: str | None, resume: bool, wait: float, json: bool
) -> int:
    """`run PLANFILE`: its plan, if the environment is still what it was made for."""
    plan, basis = opened.content.plan, opened.content.basis
    with LocalClient(with_catalogues(settings, basis.inputs, plan.steps)) as client, about(FILE=str(opened.path)):
        approve(plan, plan_hash)
        journal = client.wait(client.stores.get(client.stores.name_of(plan.storage_backend)))
        key, turn = EnvironmentKey.of(plan), TurnWait(client.clock, wait)
        if resume and (busy := client.wait(busy_in(journal, key, client.clock))) is not None:
            if busy.driver:
                raise busy.error
            (note if json else say)(f"run {busy.run} of this environment is unfinished: continuing it")
            with about(RUN=busy.run):
                return shown(client, client.act(busy.run, "resume"), busy.run, json=json)
        while True:
            client.wait(wait_for_turn_of(journal, key, client.clock, turn.left))
            try:
                planned = client.check_plan_file(opened)
            except BatchwrightError as error:
                return _refused(error, json=json)
            if planned.plan is None:
                return _refused(planned.refusal(), json=json)
            try:
                run_id, progress = client.start(planned.plan, basis.workflow, opened.inputs)
            except (EnvironmentBusy, EnvironmentMoved) as refused:
                turn.again(refused)
                note(f"{refused.message}: checking the plan again")
                continue
            return shown_from_start(client, planned, run_id, progress, json=json)


def _refused(error: BatchwrightError, *, json: bool) -> int:
    """Print the error with all that is behind it. One without diagnostics is raised, as anywhere."""
    found = tuple(one for one in error.diagnostics if isinstance(one, Diagnostic))
    if not found:
        raise error
    if not json:
        show_diagnostics(found)
    show_error(error, json=json, diagnostics=found)
    return Exit.NO
