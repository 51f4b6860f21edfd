"""Commands about a file, before anything is changed: validate, plan."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Sequence
from typing import Any

from batchwright.app.planned import PlanAnswer, ValidationAnswer
from batchwright.app.plans import check, make_plan
from batchwright.app.system_clock import SystemClock
from batchwright.app.taskserv_health import preview_plan
from batchwright.cli.exit_codes import Exit
from batchwright.cli.options import (
    Catalogues,
    FileArgument,
    Inputs,
    Json,
    NoColor,
    OnlyCheck,
    Overlays,
    Sim,
    Simulate,
    StateDir,
    settings_of,
    simulation_of,
    source_of,
)
from batchwright.cli.output import note, print_json, say, show_diagnostics
from batchwright.cli.taskserv_text import show_changes
from batchwright.cli.text import show_plan
from batchwright.model.diagnostic import Diagnostic, Severity
from batchwright.views.definition import definition
from batchwright.views.plan import plan_view
from batchwright.views.wording import counted


def validate(
    file: FileArgument,
    overlay: Overlays = None,
    inputs: Inputs = None,
    catalogue: Catalogues = None,
    json: Json = False,
    _no_color: NoColor = False,
) -> int:
    """Check a workflow file; nothing is contacted. Every mistake is told with its place."""
    loaded = check(source_of(file, overlay, inputs), settings_of(None, catalogue))
    ok = loaded.workflow is not None
    if json:
        found = definition(loaded.workflow) if loaded.workflow else None
        print_json(ValidationAnswer(ok, found, tuple(loaded.diagnostics)))
        return Exit.OK if ok else Exit.NO
    show_diagnostics(loaded.diagnostics)
    if loaded.workflow is not None:
        checked = loaded.workflow
        operations = counted(len(checked.operations), "operation")
        say(f"{file} is valid: {checked.name} {checked.version}, {operations}{_also(loaded.diagnostics)}")
    else:
        say(f"{file} is not valid: {tally(loaded.diagnostics)}")
    return Exit.OK if ok else Exit.NO


def plan(
    file: FileArgument,
    simulate: Simulate = False,
    sim: Sim = None,
    only_check: OnlyCheck = False,
    overlay: Overlays = None,
    inputs: Inputs = None,
    catalogue: Catalogues = None,
    state_dir: StateDir = None,
    json: Json = False,
    _no_color: NoColor = False,
) -> int:
    """Show what a run would do and what undoing it would do; nothing is changed."""
    source, settings, clock = source_of(file, overlay, inputs), settings_of(state_dir, catalogue), SystemClock()
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
    words = again(file, simulate=simulate, sim=sim, overlay=overlay, inputs=inputs, catalogue=catalogue)
    say(f"next: batchwright run {words} --plan-hash {view.hash}")
    return ended


def again(
    file: object,
    *,
    simulate: bool,
    sim: Sequence[str] | None,
    overlay: Sequence[Any] | None,
    inputs: Sequence[str] | None,
    catalogue: Sequence[Any] | None,
) -> str:
    """The same file with the same options, for a command to be copied."""
    words = [str(file), *(["--simulate"] if simulate else [])]
    given = (("--sim", sim), ("--overlay", overlay), ("--set", inputs), ("--catalogue", catalogue))
    for option, values in given:
        for value in values or ():
            words += [option, str(value)]
    return shlex.join(words)


def tally(diagnostics: Sequence[Diagnostic]) -> str:
    """How many problems there are."""
    return counted(sum(one.severity is Severity.ERROR for one in diagnostics), "problem")


def _also(diagnostics: Sequence[Diagnostic]) -> str:
    return f", {counted(len(diagnostics), 'warning')}" if diagnostics else ""
