"""The commands for the catalogue of task services: taskservs list, show, check."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from batchwright.app.taskserv_catalogue import lint_entries, taskserv_offer, taskserv_offers
from batchwright.cli.exit_codes import Exit
from batchwright.cli.options import Catalogues, Json, NoColor, settings_of
from batchwright.cli.output import note, print_json, say
from batchwright.cli.view_printer import show_table
from batchwright.model.taskserv import Scope, Taskserv, Tested
from batchwright.model.taskserv_variable import Variable
from batchwright.views.text_format import counted

app = typer.Typer(help="The task services that can be installed.", invoke_without_command=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="A task service.")]
Folder = Annotated[
    Path | None, typer.Argument(metavar="[DIR]", help="An entry or a folder of entries; default: the whole catalogue.")
]

TESTED = {
    Tested.UNKNOWN: "",
    Tested.REAL: "for real",
    Tested.STUBS: "with stubs only",
}


@app.callback()
def default(
    context: typer.Context, catalogue: Catalogues = None, json: Json = False, _no_color: NoColor = False
) -> int:
    """List the task services that can be installed."""
    return list_entries(catalogue, json) if context.invoked_subcommand is None else Exit.OK


@app.command("list")
def list_entries(catalogue: Catalogues = None, json: Json = False, _no_color: NoColor = False) -> int:
    """List the task services that can be installed."""
    entries = taskserv_offers(settings_of(None, catalogue))
    if json:
        print_json({"taskservs": entries})
        return Exit.OK
    rows = (
        (entry.name, entry.version, ", ".join(entry.requires), TESTED[entry.tested], entry.summary) for entry in entries
    )
    show_table(("name", "version", "requires", "tested", "description"), rows)
    return Exit.OK


@app.command("show")
def show(name: Name, catalogue: Catalogues = None, json: Json = False, _no_color: NoColor = False) -> int:
    """Show one task service in full: its requirements, variables and checks."""
    entry = taskserv_offer(settings_of(None, catalogue), name)
    if json:
        print_json(entry)
        return Exit.OK
    _show(entry)
    return Exit.OK


@app.command("check")
def check(folder: Folder = None, catalogue: Catalogues = None, json: Json = False, _no_color: NoColor = False) -> int:
    """Check catalogue entries for mistakes: metadata, deploys and scripts. Nothing is installed."""
    folders, mistakes = lint_entries(settings_of(None, catalogue), folder)
    if json:
        print_json({"ok": not mistakes, "entries": [str(each) for each in folders], "mistakes": mistakes})
        return Exit.NO if mistakes else Exit.OK
    for mistake in mistakes:
        note(f"{mistake.file}: {mistake.message}", "red")
        note(f"    hint: {mistake.hint}")
    entries = f"{len(folders)} {'entry' if len(folders) == 1 else 'entries'}"
    say(f"{entries} checked: {counted(len(mistakes), 'mistake')}" if mistakes else f"{entries} checked: no mistakes")
    return Exit.NO if mistakes else Exit.OK


def _show(entry: Taskserv) -> None:
    say(Text.assemble((entry.name, "bold"), f" {entry.version}: {entry.summary}"))
    if entry.tested is not Tested.UNKNOWN:
        say(f"  tested: {TESTED[entry.tested]}")
    for label, names in (
        ("platforms", [str(platform) for platform in entry.platforms]),
        ("provides", entry.provides),
        ("requires", entry.requires),
        ("comes after", entry.after),
        ("conflicts", entry.conflicts),
        ("checks", [check.name for check in entry.check]),
    ):
        if names:
            say(f"  {label}: {', '.join(names)}")
    if entry.scope is Scope.CLUSTER:
        say("  cluster: joins the servers of an operation; the first one is the leader")
    if wanted := _needs(entry):
        say(f"  needs: {', '.join(wanted)}")
    for key, variable in entry.variables.items():
        say(f"  {key}: {variable.described()}, {_default(variable)}; {variable.summary}")
    for provider, variant in entry.variants.items():
        say(f"  on {provider}: " + ", ".join(f"{key} = {value}" for key, value in variant.variables.items()))


def _needs(entry: Taskserv) -> list[str]:
    needs = entry.needs
    abilities = (
        ("a service manager", needs.init),
        ("to run containers", needs.privileged),
        ("a network of its own", needs.own_network),
        (f"{needs.memory_mb} MB", needs.memory_mb),
        (counted(needs.cpus, "CPU"), needs.cpus),
    )
    return [word for word, needed in abilities if needed]


def _default(variable: Variable) -> str:
    if variable.default is None:
        return "optional" if variable.optional else "required"
    if isinstance(variable.default, tuple):
        return f"default [{', '.join(map(str, variable.default))}]"
    value = str(variable.default).lower() if isinstance(variable.default, bool) else variable.default
    return (
        f'default "{value}"'
        if isinstance(value, str) and not isinstance(variable.default, bool)
        else f"default {value}"
    )
