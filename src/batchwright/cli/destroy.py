"""The command `destroy`: retires everything that an environment has."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from batchwright.app.planned import workflow_invalid
from batchwright.app.plans import check
from batchwright.app.settings import Settings
from batchwright.cli.exit_codes import Exit
from batchwright.cli.monitor import shown
from batchwright.cli.options import (
    EnvironmentName,
    Json,
    NoColor,
    Simulate,
    StateDir,
    Wait,
    settings_of,
    source_of,
)
from batchwright.cli.output import about, confirm, note, print_json, say, show_diagnostics, unasked
from batchwright.cli.target import Url, chosen
from batchwright.cli.view_printer import show_plan
from batchwright.model.environment import SIMULATED
from batchwright.views.plan import PlanView
from batchwright.views.text_format import counted

Named = Annotated[str, typer.Argument(metavar="ENV", help="An environment's name, or the workflow file it belongs to.")]
OnlyPlan = Annotated[bool, typer.Option("--plan", help="Show what would be destroyed and do nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Skip the confirmation.")]

SUFFIXES = (".ncl", ".json", ".yaml", ".yml")


def destroy(
    environment: Named,
    simulate: Simulate = False,
    only_plan: OnlyPlan = False,
    yes: Yes = False,
    wait: Wait = 0.0,
    env: EnvironmentName = None,
    state_dir: StateDir = None,
    url: Url = None,
    json: Json = False,
    _no_color: NoColor = False,
) -> int:
    """Destroy all that an environment has: its servers, and what its commands did and can undo. In reverse order."""
    name = _name(environment, env, settings_of(state_dir))
    word = f"{SIMULATED}:{name}" if simulate and ":" not in name else name
    with chosen(url, state_dir) as client:
        view = client.destroy_plan(word, wait=wait)
        if only_plan and (json or view.steps):
            print_json(view) if json else show_plan(view, {})
            return Exit.OK
        if not view.steps:
            note(f"the environment {name} has nothing that could be destroyed")
            return Exit.OK
        if not yes and not sys.stdin.isatty():
            raise unasked("destroy", "ENV")
        if not yes:
            show_plan(view, {})
        if not yes and not confirm(f"Destroy {_what(view)} of {name}?"):
            note("nothing was changed")
            return Exit.STOPPED
        run_id, progress = client.destroy(word, view, wait=wait)
        (note if json else say)(f"run {run_id}")
        with about(RUN=run_id):
            return shown(client, progress, run_id, json=json)


def _name(word: str, env: str | None, settings: Settings) -> str:
    """The environment of a workflow file, or the one with this name."""
    if not word.endswith(SUFFIXES) or not Path(word).exists():
        return f"{word}/{env}" if env else word
    loaded = check(source_of(Path(word), None, None, env), settings)
    if loaded.workflow is None:
        show_diagnostics(loaded.diagnostics)
        raise workflow_invalid(loaded.diagnostics)
    return loaded.workflow.environment_name


def _what(plan: PlanView) -> str:
    return counted(sum(step.removes for step in plan.steps), "resource")
