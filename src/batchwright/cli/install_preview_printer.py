"""Prints what the installs of a plan would change."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from batchwright.cli.output import say
from batchwright.views.install_preview import InstallPreview
from batchwright.views.text_format import counted


def show_changes(changes: Sequence[InstallPreview]) -> None:
    """What each install of a plan would change."""
    say("")
    say(Text("changes", "bold"))
    for one in changes:
        if one.trouble:
            say(Text(f"  {one.step}: unknown: {one.trouble}", "red"))
        elif one.new:
            say(f"  {one.step}: {one.server} is new: all of {one.taskserv} is installed")
        elif not one.changes:
            say(f"  {one.step}: nothing changes")
        else:
            say(f"  {one.step}: {counted(len(one.changes), 'change')}")
            for change in one.changes:
                say(f"      {change}")
    if not changes:
        say("  no task services to install")
