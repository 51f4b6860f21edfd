"""The command `submit`: evaluates a workflow here and hands it to a service that runs it."""

from __future__ import annotations

from typing import Annotated

import typer
from msgspec.structs import replace as changed

from batchwright.app.planned import workflow_invalid
from batchwright.app.plans import anchored, check
from batchwright.cli.exit_codes import Exit
from batchwright.cli.monitor import show_progress
from batchwright.cli.options import (
    Catalogues,
    EnvironmentName,
    FileArgument,
    Inputs,
    Json,
    NoColor,
    Overlays,
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
from batchwright.cli.output import about, note, print_json, say, show_diagnostics, show_error
from batchwright.cli.plan import again
from batchwright.cli.progress_display import display_for
from batchwright.cli.target import Url, chosen
from batchwright.client.discovery import DEFAULT_URL
from batchwright.client.http import HttpClient
from batchwright.client.progress import WatchedProgress
from batchwright.errors import BatchwrightError, ServiceUnavailable
from batchwright.model.diagnostic import Diagnostic
from batchwright.views.definition import definition

Watch = Annotated[bool, typer.Option("--watch", "-w", help="Watch the run to its end.")]


def submit(
    file: FileArgument,
    simulate: Simulate = False,
    sim: Sim = None,
    overlay: Overlays = None,
    inputs: Inputs = None,
    catalogue: Catalogues = None,
    watch: Watch = False,
    wait: Wait = 0.0,
    env: EnvironmentName = None,
    retire: Retire = False,
    replace: Replace = None,
    reinstall: Reinstall = None,
    url: Url = None,
    state_dir: StateDir = None,
    json: Json = False,
    _no_color: NoColor = False,
) -> int:
    """Check a workflow here and let a service run it; overlays, inputs and imports work."""
    source, simulation = (
        source_of(file, overlay, inputs, env, retire=retire, replace=replace, reinstall=reinstall),
        simulation_of(simulate, sim),
    )
    loaded = check(changed(source, retire=False), settings_of(state_dir, catalogue))
    if loaded.workflow is None:
        return _refuse(workflow_invalid(loaded.diagnostics), loaded.diagnostics, json=json)
    client = chosen(url, state_dir)
    if not isinstance(client, HttpClient):
        words = again(source, simulate=simulate, sim=sim, catalogue=catalogue)
        raise ServiceUnavailable(
            f"no service is configured, and none at {DEFAULT_URL} uses {settings_of(state_dir).state_dir}",
            hint=f"Start one with: batchwright serve. Or run it without one: batchwright run {words}",
        )
    try:
        with about(FILE=str(file)):
            view = client.submit(definition(anchored(loaded, file.parent)), simulation, wait, retire=retire)
    except BatchwrightError as error:
        found = tuple(one for one in error.diagnostics if isinstance(one, Diagnostic))
        if not found:
            raise
        return _refuse(error, found, json=json)
    if not json:
        show_diagnostics(loaded.diagnostics)
    if watch:
        (note if json else say)(f"run {view.run}")
        watched = WatchedProgress(client.follow(view.run, 1), "")
        return show_progress(client, watched, view.run, display_for(stderr=json), json=json)
    if json:
        print_json(view)
    else:
        say(f"run {view.run}")
        say(f"next: batchwright monitor {view.run}")
    return Exit.OK


def _refuse(error: BatchwrightError, diagnostics: tuple[Diagnostic, ...], *, json: bool) -> int:
    if not json:
        show_diagnostics(diagnostics)
    show_error(error, json=json, diagnostics=diagnostics)
    return Exit.NO
