"""The command `examples`: the workflows that come with the program."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Annotated

import typer

from batchwright.cli.exit_codes import Exit
from batchwright.cli.options import Json, NoColor
from batchwright.cli.output import print_json, say
from batchwright.cli.view_printer import show_table
from batchwright.errors import UsageError
from batchwright.model.did_you_mean import close_matches
from batchwright.packaged_files import example_folder
from batchwright.user_home import expanded

OTHER_FOLDER = "Name another folder: --to DIR"

Name = Annotated[str, typer.Argument(metavar="[NAME]", help="Copy this one, with the files that it uses.")]
To = Annotated[Path, typer.Option("--to", metavar="DIR", help="Where to copy it; made if it is not there.")]


def examples(name: Name = "", to: To = Path(), json: Json = False, _no_color: NoColor = False) -> int:
    """List the workflows that come with the program, or copy one. Nothing is overwritten."""
    about = {file.stem: _about(file) for file in sorted(example_folder().glob("*.ncl"))}
    if name:
        copied = copy_example(name.removesuffix(".ncl"), expanded(to))
        print_json({"copied": [str(one) for one in copied]}) if json else say("\n".join(map(str, copied)))
    elif json:
        print_json({"examples": [{"name": one, "about": words} for one, words in about.items()]})
    else:
        show_table(("example", "what it is"), about.items())
        say("copy one here: batchwright examples NAME")
    return Exit.OK


def copy_example(name: str, folder: Path) -> list[Path]:
    """Copy an example and the folder of its name. Raises UsageError."""
    names = sorted(file.stem for file in example_folder().glob("*.ncl"))
    if name not in names:
        near = close_matches(name, names)
        raise UsageError(
            f"there is no example {name!r}",
            hint=f"Did you mean {near[0]}?" if near else f"There are: {', '.join(names)}",
        )
    wanted = [one for one in (example_folder() / f"{name}.ncl", example_folder() / name) if one.exists()]
    for one in wanted:
        if os.path.lexists(folder / one.name):  # a link that leads nowhere is something, too
            raise UsageError(f"{folder / one.name} exists", hint=OTHER_FOLDER)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for one in wanted:
            if one.is_dir():
                shutil.copytree(one, folder / one.name)
            else:
                shutil.copy(one, folder / one.name)
    except OSError as error:
        raise UsageError(f"cannot copy to {folder}: {error.strerror or error}", hint=OTHER_FOLDER) from error
    return [folder / one.name for one in wanted]


def _about(file: Path) -> str:
    """The comment on its first line."""
    with file.open(encoding="utf-8") as lines:
        first = lines.readline().strip()
    return first.removeprefix("#").strip() if first.startswith("#") else ""
