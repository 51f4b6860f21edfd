"""The commands `new provider`, `new taskserv` and `new workflow`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from batchwright.app.skeletons import Skeleton, name_for, write_skeleton
from batchwright.app.taskserv_catalogue import taskserv_offers
from batchwright.cli.exit_codes import Exit
from batchwright.cli.options import Json, NoColor, settings_of
from batchwright.cli.output import print_json, say
from batchwright.providers import registry
from batchwright.user_home import expanded

app = typer.Typer(help="Begin a provider, a task service or a workflow of your own.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Letters a-z, digits, and hyphens between them.")]
To = Annotated[Path, typer.Option("--to", metavar="DIR", help="The folder to write into; made if it is not there.")]


@app.callback()
def new() -> None:
    """Begin a provider, a task service or a workflow of your own. What is written passes its tests as it is."""


@app.command("provider")
def provider(name: Name, to: To = Path(), json: Json = False, _no_color: NoColor = False) -> int:
    """Write a package with a provider and the tests that every provider has to pass."""
    folder = expanded(to) / f"batchwright-{name_for(Skeleton.PROVIDER, name, registry.names())}"
    steps = [f"cd {_word(folder)}", "pip install -e '.[dev]'", "pytest", "batchwright providers"]
    return _say(write_skeleton(Skeleton.PROVIDER, name, folder), steps, json)


@app.command("taskserv")
def taskserv(name: Name, to: To = Path("taskservs"), json: Json = False, _no_color: NoColor = False) -> int:
    """Write the catalogue entry of a task service: what it is, and how it is installed."""
    taken = [entry.name for entry in taskserv_offers(settings_of(None, None))]
    folder = expanded(to) / name_for(Skeleton.TASKSERV, name, taken)
    steps = [
        f"batchwright taskservs check {_word(folder)}",
        f"batchwright plan FILE --catalogue {_word(folder.parent)}",
    ]
    return _say(write_skeleton(Skeleton.TASKSERV, name, folder), steps, json)


@app.command("workflow")
def workflow(name: Name, to: To = Path(), json: Json = False, _no_color: NoColor = False) -> int:
    """Write a workflow file with two servers and a task service on each."""
    file = expanded(to) / f"{name_for(Skeleton.WORKFLOW, name)}.ncl"
    steps = [f"batchwright validate {_word(file)}", f"batchwright run {_word(file)} --simulate"]
    return _say(write_skeleton(Skeleton.WORKFLOW, name, file), steps, json)


def _word(path: Path) -> str:
    return shlex.quote(str(path))


def _say(files: list[Path], steps: list[str], json: bool) -> int:
    if json:
        print_json({"written": [str(file) for file in files], "next": steps})
        return Exit.OK
    say("\n".join(map(str, files)))
    say("next:\n" + "\n".join(f"  {step}" for step in steps))
    return Exit.OK
