"""The command `run`: plans a file and runs the plan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from batchwright.app.environment_turn_wait import TurnWait, busy_with, wait_for_turn
from batchwright.app.plan_files import is_plan_file
from batchwright.app.planned import Planned
from batchwright.app.plans import approve, check
from batchwright.cli.exit_codes import Exit
from batchwright.cli.monitor import shown, shown_from_start
from batchwright.cli.options import (
    Adopt,
    Catalogues,
    EnvironmentName,
    Inputs,
    Json,
    NoColor,
    OnlyCheck,
    OtherAccount,
    Overlays,
    PlanOrFileArgument,
    Reinstall,
    Replace,
    Retire,
    Sim,
    Simulate,
    StateDir,
    Wait,
    settings_of,
    simulation_of,
    source_of,
)
from batchwright.cli.output import about, note, say, show_diagnostics, show_error
from batchwright.cli.plan import frozen, plan
from batchwright.cli.plan_file import Directory, opened_plan, refuse_directory, run_plan_file
from batchwright.client.local import LocalClient
from batchwright.errors import EnvironmentBusy, EnvironmentMoved, EnvironmentRefused, SecretMissing, StoreError
from batchwright.loader import Loaded
from batchwright.views.definition import digest

PlanHash = Annotated[
    str | None, typer.Option("--plan-hash", metavar="HASH", help="Refuse any plan with a different hash.")
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume", help="Continue the environment's unfinished run if its process died; otherwise start one."
    ),
]


def run(
    file: PlanOrFileArgument,
    simulate: Simulate = False,
    sim: Sim = None,
    plan_hash: PlanHash = None,
    only_check: OnlyCheck = False,
    resume: Resume = False,
    wait: Wait = 0.0,
    env: EnvironmentName = None,
    retire: Retire = False,
    replace: Replace = None,
    reinstall: Reinstall = None,
    adopt: Adopt = None,
    other_account: OtherAccount = False,
    overlay: Overlays = None,
    inputs: Inputs = None,
    catalogue: Catalogues = None,
    state_dir: StateDir = None,
    json: Json = False,
    directory: Directory = None,
    _no_color: NoColor = False,
) -> int:
    """Check, plan and run a workflow, or apply a plan file of `plan --out`, and show it live.

    Ctrl-C cancels; a second Ctrl-C exits at once.
    """
    if only_check:
        made = (simulate, sim, only_check, env, retire, replace, reinstall, adopt, other_account, overlay, inputs,
                catalogue, state_dir)  # fmt: skip
        return plan(file, *made, json=json, directory=directory)
    if is_plan_file(file):
        settled = frozen(simulate, sim, env, retire, replace, reinstall, adopt, other_account, overlay, inputs)
        opened = opened_plan(file, directory, settled)
        settings = settings_of(state_dir, catalogue)
        return run_plan_file(opened, settings, plan_hash=plan_hash, resume=resume, wait=wait, json=json)
    refuse_directory(file, directory)
    simulation = simulation_of(simulate, sim)
    source = source_of(
        file, overlay, inputs, env, retire=retire, replace=replace, reinstall=reinstall, adopt=adopt,
        other_account=other_account,
    )  # fmt: skip
    with LocalClient(settings_of(state_dir, catalogue)) as client:
        loaded = check(source, client.settings)
        simulated, own = simulation is not None, digest(loaded.workflow) if loaded.workflow is not None else ""
        if resume and (found := _unfinished(client, loaded, simulated=simulated)):
            _note_differences(client, found, file, own)
            said = f"run {found} of this workflow is unfinished: continuing it with its recorded plan"
            (note if json else say)(said)
            with about(RUN=found):
                return shown(client, client.act(found, "resume"), found, json=json)
        turn = TurnWait(client.clock, wait)
        while True:
            _wait_for_turn(client, loaded, turn.left, simulated=simulated)
            planned = client.plan(source, loaded, simulation)
            if planned.plan is None:
                return refuse(planned, json=json)
            with about(FILE=str(file)):
                approve(planned.plan, plan_hash)
            try:
                run_id, progress = client.start(planned.plan, own, planned.basis.inputs)
            except (EnvironmentBusy, EnvironmentMoved) as refused:
                turn.again(refused)
                note(f"{refused.message}: planning again")
                continue
            return shown_from_start(client, planned, run_id, progress, json=json)


def _unfinished(client: LocalClient, loaded: Loaded, *, simulated: bool) -> str:
    """The run whose turn it is in this environment and that nobody drives. Raises EnvironmentBusy if somebody does."""
    if loaded.workflow is None:
        return ""
    busy = client.wait(busy_with(client.stores, client.clock, loaded.workflow, simulated=simulated))
    if busy is not None and busy.driver:
        raise busy.error
    return busy.run if busy is not None else ""


def _wait_for_turn(client: LocalClient, loaded: Loaded, seconds: float, *, simulated: bool) -> None:
    """Before the plan, which would otherwise wait for the servers that another run is making."""
    if loaded.workflow is not None:
        try:
            client.wait(wait_for_turn(client.stores, client.clock, loaded.workflow, seconds, simulated=simulated))
        except EnvironmentRefused:
            raise
        except (StoreError, SecretMissing):
            pass  # the plan says so, together with all other problems


def _note_differences(client: LocalClient, run_id: str, file: Path, own: str) -> None:
    """Warn if the file, or an option that changes the plan, is not as when the unfinished run was planned."""
    planned_from = client.look(run_id).run.created.source
    if planned_from and planned_from != own:
        note(
            f"{file}, or an option given with it, has changed since run {run_id} was planned: its recorded plan holds",
            "yellow",
        )
        note(f"to plan anew instead: batchwright cancel {run_id}, then run it again")


def refuse(planned: Planned, *, json: bool) -> int:
    """Print why the file cannot be planned, and return the exit code."""
    if not json:
        show_diagnostics(planned.diagnostics)
    show_error(planned.refusal(), json=json, diagnostics=planned.diagnostics)
    return Exit.NO
