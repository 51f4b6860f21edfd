"""The command `plan`: shows what a run of a file would do."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Sequence
from pathlib import Path

from batchwright.app.install_preview import preview_plan
from batchwright.app.planned import PlanAnswer
from batchwright.app.plans import Source, make_plan
from batchwright.app.system_clock import SystemClock
from batchwright.cli.exit_codes import Exit
from batchwright.cli.install_preview_printer import show_changes
from batchwright.cli.options import (
    Catalogues,
    EnvironmentName,
    FileArgument,
    Inputs,
    Json,
    NoColor,
    OnlyCheck,
    Overlays,
    Reinstall,
    Replace,
    Retire,
    Sim,
    Simulate,
    StateDir,
    settings_of,
    simulation_of,
    source_of,
)
from batchwright.cli.output import note, print_json, say, show_diagnostics, tally
from batchwright.cli.view_printer import show_plan
from batchwright.views.plan import plan_view


def plan(
    file: FileArgument,
    simulate: Simulate = False,
    sim: Sim = None,
    only_check: OnlyCheck = False,
    env: EnvironmentName = None,
    retire: Retire = False,
    replace: Replace = None,
    reinstall: Reinstall = None,
    overlay: Overlays = None,
    inputs: Inputs = None,
    catalogue: Catalogues = None,
    state_dir: StateDir = None,
    json: Json = False,
    _no_color: NoColor = False,
) -> int:
    """Show what a run would do and what undoing it would do; nothing is changed."""
    source, settings, clock = (
        source_of(file, overlay, inputs, env, retire=retire, replace=replace, reinstall=reinstall),
        settings_of(state_dir, catalogue),
        SystemClock(),
    )
    planned = asyncio.run(make_plan(settings, clock, source, simulation_of(simulate, sim)))
    view = plan_view(planned.plan) if planned.plan else None
    changes = asyncio.run(preview_plan(settings, clock, planned.plan)) if planned.plan and only_check else None
    ended = Exit.COULD_NOT if any(one.trouble for one in changes or ()) else Exit.OK
    if json:
        print_json(PlanAnswer(view is not None, view, planned.diagnostics, planned.quotes, changes))
        return ended if view else Exit.NO
    show_diagnostics(planned.diagnostics)
    if view is None:
        note(f"no plan: {tally(planned.diagnostics)}; nothing was changed")
        return Exit.NO
    show_plan(view, planned.quotes)
    if changes is not None:
        show_changes(changes)
    say("")
    words = again(source, simulate=simulate, sim=sim, catalogue=catalogue)
    say(f"next: batchwright run {words} --plan-hash {view.hash}")
    return ended


def again(source: Source, *, simulate: bool, sim: Sequence[str] | None, catalogue: Sequence[Path] | None) -> str:
    """The same file and options as words of a command line that can be copied."""
    words = [str(source.file), *(["--simulate"] if simulate else []), *(["--retire"] if source.retire else [])]
    given = (
        ("--env", [source.environment] if source.environment else ()),
        ("--replace", source.replace),
        ("--reinstall", source.reinstall),
        ("--sim", sim),
        ("--overlay", source.overlays),
        ("--set", [f"{key}={value}" for key, value in source.inputs.items()]),
        ("--catalogue", catalogue),
    )
    for option, values in given:
        for value in values or ():
            words += [option, str(value)]
    return shlex.join(words)
