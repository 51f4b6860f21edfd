"""The command `plan`: shows what a run of a file would do."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from batchwright.app.catalogue_changes import with_catalogues
from batchwright.app.install_preview import preview_plan
from batchwright.app.plan_files import is_plan_file, write_plan_file
from batchwright.app.planned import PlanAnswer
from batchwright.app.plans import make_plan
from batchwright.app.system_clock import SystemClock
from batchwright.app.workflow_source import Source
from batchwright.cli.exit_codes import Exit
from batchwright.cli.install_preview_printer import show_changes
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
    settings_of,
    simulation_of,
    source_of,
)
from batchwright.cli.output import note, print_json, say, show_diagnostics, tally
from batchwright.cli.plan_file import Directory, looked_at, opened_plan, refuse_directory
from batchwright.cli.view_printer import show_plan
from batchwright.errors import UsageError
from batchwright.views.install_preview import InstallPreview
from batchwright.views.plan import PlanView, plan_view
from batchwright.views.plan_markdown import plan_markdown, refusal_markdown
from batchwright.views.planned_changes import is_unchanged

Steps = Annotated[bool, typer.Option("--steps", help="Show every step with its undo, also what stays as it is.")]
AsMarkdown = Annotated[bool, typer.Option("--markdown", help="Print Markdown, for a comment on a pull request.")]
ExitCode = Annotated[
    bool,
    typer.Option("--exit-code", help="Exit with 0 if a run would change nothing, 2 if it would, 1 if that is unknown."),
]

Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="PLANFILE", help="Write the plan to a file that `run PLANFILE` applies anywhere."),
]


def plan(
    file: PlanOrFileArgument,
    simulate: Simulate = False,
    sim: Sim = None,
    only_check: OnlyCheck = False,
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
    steps: Steps = False,
    markdown: AsMarkdown = False,
    exit_code: ExitCode = False,
    json: Json = False,
    out: Out = None,
    directory: Directory = None,
    _no_color: NoColor = False,
) -> int:
    """Show what a run would change, from what to what; nothing is changed."""
    if markdown and json:
        raise UsageError("--markdown and --json are two forms of one output", hint="Give one of them.")
    settings, clock, kept = settings_of(state_dir, catalogue), SystemClock(), None
    if is_plan_file(file):
        settled = frozen(simulate, sim, env, retire, replace, reinstall, adopt, other_account, overlay, inputs)
        opened = opened_plan(file, directory, {"--out": out, **settled})
        kept, words = opened.content.plan, shlex.quote(str(file))
        settings = with_catalogues(settings, opened.content.basis.inputs, kept.steps)
        planned = looked_at(settings, clock, opened)
    else:
        refuse_directory(file, directory)
        source = source_of(
            file, overlay, inputs, env, retire=retire, replace=replace, reinstall=reinstall, adopt=adopt,
            other_account=other_account,
        )  # fmt: skip
        planned = asyncio.run(make_plan(settings, clock, source, simulation_of(simulate, sim)))
        words = again(source, simulate=simulate, sim=sim, catalogue=catalogue)
        words += f" --plan-hash {planned.plan.hash()}" if planned.plan else ""
    if out is not None and planned.plan is not None:
        write_plan_file(out, planned.plan, planned.basis, clock.now())
        words = shlex.quote(str(out))
    shown = planned.plan or kept
    view = plan_view(shown) if shown else None
    folder = str(file.parent.absolute()) if directory is None else str(directory.absolute())
    changes = asyncio.run(preview_plan(settings, clock, planned.plan, folder)) if planned.plan and only_check else None
    ended = _exit_of(view if planned.plan else None, changes or (), exit_code=exit_code)
    if markdown:
        text = plan_markdown(view, planned.diagnostics) if view else refusal_markdown(str(file), planned.diagnostics)
        say(text.rstrip("\n"))
        return ended
    if json:
        told = planned.diagnostics, planned.quotes, changes, planned.worst_cost
        print_json(PlanAnswer(planned.plan is not None, view, *told))
        return ended
    show_diagnostics(planned.diagnostics)
    if view is not None:
        show_plan(view, planned.quotes, planned.worst_cost, steps=steps)
    if planned.plan is None:
        note(f"no plan: {tally(planned.diagnostics)}; nothing was changed")
        return ended
    if changes is not None:
        show_changes(changes)
    if out is not None or view is None or not is_unchanged(view.difference):
        say("")
        say(f"next: batchwright run {words}")
    return ended


def _exit_of(view: PlanView | None, changes: Sequence[InstallPreview], *, exit_code: bool) -> Exit:
    if view is None:
        return Exit.NO
    if any(one.trouble for one in changes):
        return Exit.NO if exit_code else Exit.COULD_NOT
    return Exit.CHANGES if exit_code and not is_unchanged(view.difference) else Exit.OK


def frozen(*given: object) -> dict[str, object]:
    """The options that a plan file has settled, by their names."""
    names = (
        *("--simulate", "--sim", "--env", "--retire", "--replace", "--reinstall", "--adopt", "--other-account"),
        *("--overlay", "--set"),
    )
    return dict(zip(names, given, strict=True))


def again(source: Source, *, simulate: bool, sim: Sequence[str] | None, catalogue: Sequence[Path] | None) -> str:
    """The same file and options as words of a command line that can be copied."""
    words = [str(source.file), *(["--simulate"] if simulate else []), *(["--retire"] if source.retire else [])]
    words += ["--other-account"] if source.other_account else []
    given = (
        ("--env", [source.environment] if source.environment else ()),
        ("--replace", source.replace),
        ("--reinstall", source.reinstall),
        ("--adopt", source.adopt),
        ("--sim", sim),
        ("--overlay", source.overlays),
        ("--set", [f"{key}={value}" for key, value in source.inputs.items()]),
        ("--catalogue", catalogue),
    )
    for option, values in given:
        for value in values or ():
            words += [option, str(value)]
    return shlex.join(words)
