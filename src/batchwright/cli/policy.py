"""The command `policy check`: checks the operator's policy file and lists its rules."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer

from batchwright.app.guardrails import guardrails
from batchwright.app.plan_policy_check import checked
from batchwright.app.system_clock import SystemClock
from batchwright.cli.exit_codes import Exit
from batchwright.cli.options import Json, NoColor, settings_of
from batchwright.cli.output import print_json, say, show_diagnostics, tally
from batchwright.errors import UsageError
from batchwright.loader.policy_file import read_policy
from batchwright.model.plan_policy import PolicyException, PolicyRule
from batchwright.views.text_format import counted

app = typer.Typer(help="The operator's rules about plans.")

PolicyFile = Annotated[
    Path | None, typer.Argument(metavar="[FILE]", help="A policy file. Default: the one that config.toml names.")
]


@app.callback()
def policy() -> None:
    """The operator's rules about plans."""


@app.command("check")
def check(file: PolicyFile = None, json: Json = False, _no_color: NoColor = False) -> int:
    """Check a policy file and list its rules with their exceptions. To try the rules, plan a workflow."""
    place = file or guardrails(settings_of(None, None)).policy
    if place is None:
        raise UsageError("no policy file is set", hint='Set it in config.toml: policy = "rules.ncl"; or name a file.')
    rules, mistakes = checked(str(place), read_policy(place, str(place)))
    if json:
        print_json({"ok": not mistakes, "rules": rules, "diagnostics": mistakes})
        return Exit.NO if mistakes else Exit.OK
    show_diagnostics(mistakes)
    if mistakes:
        say(f"{place} cannot be used: {tally(mistakes)}")
        return Exit.NO
    today = datetime.fromtimestamp(SystemClock().now(), UTC).date()
    say(f"{place}: {counted(len(rules), 'rule')}")
    for rule in rules:
        say(f"  {rule.name}: {_effect(rule, today)}")
        for one in rule.exceptions:
            over = "" if today <= one.end else ", which is over"
            say(f"      not for {_about(one)} until {one.end}{over}: {one.reason}")
    return Exit.OK


def _effect(rule: PolicyRule, today: date) -> str:
    if rule.denies and not rule.acts_on(today):
        return f"warns; denies from {rule.start} on"
    return "denies" if rule.denies else "warns"


def _about(one: PolicyException) -> str:
    named = (("server", one.server), ("operation", one.operation), ("environment", one.environment))
    return ", ".join(f"{what} {name}" for what, name in named if name)
