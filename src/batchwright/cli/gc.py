"""The command `gc`: finds resources with a run's label that are not in its journal, and can remove them."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from batchwright.app.orphan_sweep import GcResult
from batchwright.cli import completion
from batchwright.cli.exit_codes import Exit
from batchwright.cli.options import Json, NoColor, StateDir
from batchwright.cli.output import confirm, note, print_json, say
from batchwright.cli.target import Url, chosen
from batchwright.views.text_format import counted

RunOption = Annotated[
    str,
    typer.Option(
        "--run",
        metavar="RUN",
        help="A run id, a unique prefix of one, `latest`, or an environment.",
        autocompletion=completion.runs,
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Remove the orphans without asking.")]


def gc(
    run: RunOption,
    yes: Yes = False,
    state_dir: StateDir = None,
    url: Url = None,
    json: Json = False,
    _no_color: NoColor = False,
) -> int:
    """Repeat a run's closing sweep: list what has the run's label but is not in its journal, then remove it."""
    with chosen(url, state_dir) as client:
        told = client.sweep_orphans(run, remove=yes)
        if not json:
            _tell_found(told)
        if told.strays and not yes and not json and sys.stdin.isatty() and confirm("Remove all of them?"):
            told = client.sweep_orphans(told.run, remove=True)
    if json:
        print_json(told)
    else:
        _tell_removed(told)
    return Exit.NO if len(told.strays) > told.removed else Exit.OK


def _tell_found(told: GcResult) -> None:
    where = ", ".join(told.looked_at) or "no provider: the run created nothing"
    note(f"run {told.run} ({told.status}): looked at {where}")
    for stray in told.strays:
        say(f"  {stray.provider}  {stray.ref}  {stray.name}")


def _tell_removed(told: GcResult) -> None:
    for stray, fault in told.left:
        say(f"  {stray.ref} is left: {fault.message}")
    if not told.strays:
        say("no orphans: everything with the run's label is in its journal")
    elif told.removed:
        say(f"{counted(told.removed, 'orphan')} removed, {len(told.left)} left")
    else:
        say(f"{counted(len(told.strays), 'orphan')}; nothing was changed. Remove them with: "
            f"batchwright gc --run {told.run} --yes")  # fmt: skip
