"""What a command needs on this machine, found before anything is changed: its programs, its folder, its secrets."""

from __future__ import annotations

import difflib
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from batchwright.model.plan import CommandRequest
from batchwright.model.secret import Secret
from batchwright.model.workflow import Command
from batchwright.programs.base import Flaw

COMPARED = 20_000  # names that a misspelt one is compared with


def find_here(command: Command, environ: Mapping[str, str]) -> CommandRequest | list[Flaw]:
    """A command of this machine with its programs' own places in it, or all that is missing.

    A relative folder is one of the folder where Batchwright was started.
    """
    flaws = secret_flaws(command.env, environ)
    folder = Path(os.path.abspath(command.directory or "."))  # noqa: PTH100 - links stay as they are named
    if not folder.is_dir():
        return [*flaws, Flaw("directory-missing", f'there is no folder "{folder}"', _like(folder))]
    own = command.env.get("PATH")
    path = own if isinstance(own, str) else environ.get("PATH", os.defpath)
    words = [_found(words, folder, path) for words in (command.run, command.undo)]
    run, undo = words
    if isinstance(run, Flaw) or isinstance(undo, Flaw):
        return [*flaws, *dict.fromkeys(one for one in words if isinstance(one, Flaw))]
    if flaws:
        return flaws
    name = program_name(command.run[0])
    return CommandRequest(name, run, undo, command.env, str(folder), command.idempotent)


def find_there(command: Command, environ: Mapping[str, str]) -> CommandRequest | list[Flaw]:
    """A command of servers, which may not exist yet: only the secrets can be looked for."""
    flaws = secret_flaws(command.env, environ)
    name, folder = program_name(command.run[0]), command.directory or ""
    return flaws or CommandRequest(name, command.run, command.undo, command.env, folder, command.idempotent)


def program_name(word: str) -> str:
    """What people call it."""
    return PurePosixPath(word).name or word


def secret_flaws(env: Mapping[str, str | Secret], environ: Mapping[str, str]) -> list[Flaw]:
    """Secrets that are not where they are said to be. A program that prints one is only looked for."""
    found = []
    for name, secret in env.items():
        if isinstance(secret, Secret) and (why := _lack(secret, environ)):
            found.append(Flaw("secret-missing", f'the secret for "{name}" is {secret}, {why}'))
    return found


def _lack(secret: Secret, environ: Mapping[str, str]) -> str:
    if secret.env:
        return "" if environ.get(secret.env) else "which is not set"
    if secret.file:
        readable = os.access(Path(secret.file).expanduser(), os.R_OK)
        return "" if readable else "which cannot be read"
    there = shutil.which(secret.command[0], path=environ.get("PATH"))
    return "" if there else "and there is no such program"


def _found(words: tuple[str, ...], folder: Path, path: str) -> tuple[str, ...] | Flaw:
    if not words:
        return ()
    word = words[0]
    if "/" in word:
        place = folder / word
        if not place.is_file():
            return Flaw("program-missing", f'there is no program "{place}"', _like(place))
        if not os.access(place, os.X_OK):
            return Flaw("program-not-executable", f'"{place}" may not be executed', f"Allow it: chmod +x {place}")
        return (str(place), *words[1:])
    place_found = shutil.which(word, path=path) if word else None
    if place_found is None:
        return Flaw("program-missing", f'there is no program "{word}"', _meant(word, path))
    return (place_found, *words[1:])


def _like(place: Path) -> str:
    """What stands where this was looked for, under a name like it."""
    try:
        near = _near(place.name, (one.name for one in place.parent.iterdir()))
    except OSError:
        return f"There is no folder {place.parent} either."
    return f'Did you mean "{place.parent / near}"?' if near else ""


def _meant(word: str, path: str) -> str:
    names: set[str] = set()
    for folder in path.split(os.pathsep):
        try:
            names.update(os.listdir(folder) if folder else ())  # noqa: PTH208 - only the names
        except OSError:
            continue
    near = _near(word, names)
    if near:
        return f'Did you mean "{near}"?'
    if " " in word:
        return 'A program and its arguments are words of their own: ["sh", "-c", "..."]'
    return "Install it, or write where it is."


def _near(name: str, names: Iterable[str]) -> str:
    some = [one for one, _ in zip(sorted(names), range(COMPARED), strict=False)]
    return next(iter(difflib.get_close_matches(name, some, n=1, cutoff=0.75)), "")
