"""The command `destroy`: retires everything that an environment has."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from batchwright.cli.environment_argument import EnvironmentArgument, environment_word
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
)
from batchwright.cli.output import about, confirm, note, print_json, say, unasked
from batchwright.cli.target import Url, chosen
from batchwright.cli.view_printer import show_plan
from batchwright.views.plan import PlanView
from batchwright.views.text_format import counted

OnlyPlan = Annotated[bool, typer.Option("--plan", help="Show what would be destroyed and do nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Skip the confirmation.")]


def destroy(
    environment: EnvironmentArgument,
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
    name = environment_word(environment, env, settings_of(state_dir), simulate=simulate)
    with chosen(url, state_dir) as client:
        view = client.destroy_plan(name, wait=wait)
        if only_plan and (json or view.steps):
            print_json(view) if json else show_plan(view, {})
            if not json:
                say(f"\nnext: batchwright destroy {name}")
            return Exit.OK
        if not view.steps:
            note(f"the environment {name} has nothing that could be destroyed")
            return Exit.OK
        if not yes and not sys.stdin.isatty():
            raise unasked("destroy", name)
        if not yes:
            show_plan(view, {})
        if not yes and not confirm(f"Destroy {_what(view)} of {name}?"):
            note("nothing was changed")
            return Exit.STOPPED
        run_id, progress = client.destroy(name, view, wait=wait)
        (note if json else say)(f"run {run_id}")
        with about(RUN=run_id):
            return shown(client, progress, run_id, json=json)


def _what(plan: PlanView) -> str:
    return counted(sum(step.removes for step in plan.steps), "resource")
