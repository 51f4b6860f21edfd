"""Writes a provider, a task service or a workflow to begin with, from the files in `skeletons/`."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path

from batchwright.errors import UsageError
from batchwright.packaged_files import PACKAGE

MOST_CHARACTERS = 40
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_PLACEHOLDER = re.compile("batchwright_skeleton|skeleton|Skeleton")
_FOLDER = PACKAGE / "skeletons"


class Skeleton(StrEnum):
    """What can be begun; also the folder of its files."""

    PROVIDER = "provider"
    TASKSERV = "taskserv"
    WORKFLOW = "workflow"


def name_for(kind: Skeleton, name: str, taken: Iterable[str] = ()) -> str:
    """The name, if a package, a module and a host can have it and none of its kind has. Raises UsageError."""
    if not _NAME.fullmatch(name) or len(name) > MOST_CHARACTERS:
        raise UsageError(
            f"{name!r} cannot be the name of a {kind}",
            hint=f"Use a-z, 0-9 and single hyphens, a letter first, at most {MOST_CHARACTERS} characters: my-cloud",
        )
    if name in taken:
        raise UsageError(f"there is already a {kind} named {name}", hint="Give another name.")
    return name


def write_skeleton(kind: Skeleton, name: str, target: Path) -> list[Path]:
    """Write the files for `name` to `target`: a folder, or the file of a workflow. All of them, or nothing.

    What is there is never overwritten. Gives the files. Raises UsageError.
    """
    hint = "Give another name, or another folder: --to DIR"
    if os.path.lexists(target):
        raise UsageError(f"{target} exists", hint=hint)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".batchwright-new-") as scratch:
            made = Path(scratch, name)
            _copy(_FOLDER / kind, made, name)
            if kind is Skeleton.WORKFLOW:
                (only,) = made.iterdir()
                with target.open("x") as file:  # it fails if somebody has written it meanwhile
                    file.write(only.read_text())
            else:
                made.rename(target)
    except OSError as error:
        raise UsageError(f"cannot write {target}: {error.strerror or error}", hint=hint) from error
    return [target] if target.is_file() else sorted(one for one in target.rglob("*") if one.is_file())


def _copy(folder: Path, to: Path, name: str) -> None:
    for source in folder.rglob("*"):
        place = source.relative_to(folder)
        if source.is_file() and not any(part.startswith((".", "__pycache__")) for part in place.parts):
            copy = to / _named(str(place), name)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(_named(source.read_text(), name))


def _named(text: str, name: str) -> str:
    """The text with `name` in place of "skeleton", as each place needs it.

    >>> _named("class SkeletonCloud:  # of batchwright_skeleton, skeleton.ncl", "my-cloud")
    'class MyCloudCloud:  # of batchwright_my_cloud, my-cloud.ncl'
    >>> _named("class SkeletonCloud:  # of batchwright_skeleton, skeleton.ncl", "my-skeleton")
    'class MySkeletonCloud:  # of batchwright_my_skeleton, my-skeleton.ncl'
    """
    words = name.split("-")
    forms = {
        "Skeleton": "".join(word.capitalize() for word in words),
        "batchwright_skeleton": f"batchwright_{'_'.join(words)}",
        "skeleton": name,
    }
    return _PLACEHOLDER.sub(lambda found: forms[found[0]], text)  # in one pass: a name may have the word in it
