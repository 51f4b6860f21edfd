"""The command `destroy`: retires everything that an environment has."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from batchwright.app.plans import check
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
from batchwright.cli.output import about, confirm, note, print_json, say, show_diagnostics, show_error, unasked
from batchwright.cli.view_printer import show_plan
from batchwright.client.local import LocalClient
from batchwright.model.plan import Plan
from batchwright.views.plan import plan_view
from batchwright.views.text_format import counted, some

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
    json: Json = False,
    _no_color: NoColor = False,
) -> int:
    """Destroy all that an environment has: its servers, and what its commands did and can undo. In reverse order."""
    with LocalClient(settings_of(state_dir)) as client:
        name = _name(client, environment, env)
        planned = client.plan_destruction(name, simulated=True if simulate else None, wait=wait)
        if planned.plan is None:
            if not json:
                show_diagnostics(planned.diagnostics)
            show_error(planned.refusal(), json=json, diagnostics=planned.diagnostics)
            return Exit.NO
        if not planned.plan.steps:
            say(f"the environment {name} has nothing that could be destroyed")
            return Exit.OK
        view = plan_view(planned.plan)
        if only_plan:
            print_json(view) if json else show_plan(view, {})
            return Exit.OK
        if not yes and not sys.stdin.isatty():
            raise unasked()
        if not json and not yes:
            show_plan(view, {})
        if not yes and not confirm(f"Destroy {_what(planned.plan)} of {name}?"):
            note("nothing was changed")
            return Exit.STOPPED
        run_id, progress = client.start(planned.plan, "")
        (note if json else say)(f"run {run_id}")
        with about(RUN=run_id):
            return shown(client, progress, run_id, json=json)


def _name(client: LocalClient, word: str, env: str | None) -> str:
    """The environment of a workflow file, or the one with this name."""
    if not word.endswith(SUFFIXES) or not Path(word).exists():
        return f"{word}/{env}" if env else word
    loaded = check(source_of(Path(word), None, None, env), client.settings)
    if loaded.workflow is None:
        show_diagnostics(loaded.diagnostics)
        raise typer.Exit(Exit.NO)
    return loaded.workflow.environment_name


def _what(plan: Plan) -> str:
    retired = [step for step in plan.steps if step.traits.removes]
    servers = sum(not step.server and bool(step.provider) for step in retired)
    parts = [counted(servers, "server")] if servers else []
    if others := len(retired) - servers:
        parts.append(counted(others, "other step"))
    return some(parts)
