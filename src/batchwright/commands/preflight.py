"""What a command needs on this machine, found before anything is changed: its programs, its folder, its secrets."""

from __future__ import annotations

import difflib
import os
import shlex
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from msgspec.structs import replace

from batchwright.commands.argument_limits import unfit
from batchwright.commands.shebang import unrunnable
from batchwright.errors import SecretMissing
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.secret_reference import SecretReference
from batchwright.operations.command import Command, CommandRequest
from batchwright.secret_resolver import peek

COMPARED = 20_000  # names that a misspelt one is compared with


def find_here(command: Command, environ: Mapping[str, str]) -> CommandRequest | list[Diagnostic]:
    """A command of this machine with its programs' own places in it, or all that is missing.

    A relative folder is one of the folder where Batchwright was started.
    """
    flaws = [*secret_flaws(command.env, environ, field="env"), *size_flaws(command, environ)]
    folder = _folder(command.directory or ".")
    if isinstance(folder, Diagnostic):
        return [*flaws, folder]
    own = command.env.get("PATH")
    path = own if isinstance(own, str) else environ.get("PATH", os.defpath)
    run, undo = _found(command.run, folder, path), _found(command.undo, folder, path)
    if isinstance(run, Diagnostic) or isinstance(undo, Diagnostic):
        missing: dict[Diagnostic, str] = {}  # the same program in both is told once
        for field, one in (("run", run), ("undo", undo)):
            if isinstance(one, Diagnostic):
                missing.setdefault(one, field)
        return [*flaws, *(replace(one, field=field) for one, field in missing.items())]
    if flaws:
        return flaws
    name = program_name(command.run[0])
    return CommandRequest(name, run, undo, command.env, str(folder), command.idempotent)


def find_there(command: Command, environ: Mapping[str, str]) -> CommandRequest | list[Diagnostic]:
    """A command of servers, which may not exist yet: what does not depend on them is looked at."""
    flaws = [*secret_flaws(command.env, environ, field="env"), *size_flaws(command, {})]
    name, folder = program_name(command.run[0]), command.directory or ""
    return flaws or CommandRequest(name, command.run, command.undo, command.env, folder, command.idempotent)


def program_name(word: str) -> str:
    """What people call it."""
    return PurePosixPath(word).name or word


def secret_flaws(
    values: Mapping[str, object], environ: Mapping[str, str], whose: str = "", field: str = ""
) -> list[Diagnostic]:
    """Secrets that are not where they are said to be. A program that prints one is only looked for."""
    found = []
    for name, secret in values.items():
        if isinstance(secret, SecretReference) and (why := secret_lack(secret, environ)):
            message = f'the secret for "{name}"{whose} is not there: {why}'
            found.append(Diagnostic("secret-missing", message, field=field))
    return found


def secret_lack(secret: SecretReference, environ: Mapping[str, str]) -> str:
    """Why a secret cannot be had, "" if nothing speaks against it."""
    if secret.command:
        found = _found(secret.command, Path(), environ.get("PATH", os.defpath))
        return found.message if isinstance(found, Diagnostic) else ""
    try:
        peek(secret, environ)
    except SecretMissing as error:
        return error.message
    return ""


def size_flaws(command: Command, environ: Mapping[str, str]) -> list[Diagnostic]:
    """What no program can be given: too long, or with characters that there is no way to hand over."""
    env = {**environ, **{name: _known(value, environ) for name, value in command.env.items()}}
    found = [unfit(words, env) for words in (command.run, command.undo) if words]
    return list(dict.fromkeys(one for one in found if one is not None))


def _known(value: str | SecretReference, environ: Mapping[str, str]) -> str:
    if isinstance(value, str):
        return value
    try:
        return peek(value, environ)
    except SecretMissing:
        return ""


def _folder(name: str) -> Path | Diagnostic:
    try:
        folder = Path(os.path.abspath(name))  # noqa: PTH100 - links stay as they are named
    except FileNotFoundError:
        hint = "Go to a folder that is there, or give the command a `directory` that begins with a slash."
        return Diagnostic("directory-missing", "the folder that this was started in is gone", hint, field="directory")
    if not folder.is_dir():
        return Diagnostic("directory-missing", f'there is no folder "{folder}"', _like(folder), field="directory")
    if not os.access(folder, os.X_OK):
        message = f'nobody but its owner may enter "{folder}"'
        return Diagnostic("directory-missing", message, "Allow it, or be another user.", field="directory")
    return folder


def _found(words: tuple[str, ...], folder: Path, path: str) -> tuple[str, ...] | Diagnostic:
    if not words:
        return ()
    word = words[0]
    if "/" in word:
        place = folder / word
        if not place.is_file():
            what = f'"{place}" is a folder' if place.is_dir() else f'there is no program "{place}"'
            return Diagnostic("program-missing", what, _words_hint(words) or _like(place))
        if not os.access(place, os.X_OK):
            return Diagnostic("program-not-executable", f'"{place}" may not be executed', f"Allow it: chmod +x {place}")
    else:
        found = shutil.which(word, path=path) if word and "\0" not in word else None
        if found is None:
            return Diagnostic("program-missing", f'there is no program "{word}"', _meant(words, path))
        place = Path(found)
    return unrunnable(place, path) or (str(place), *words[1:])


def _like(place: Path) -> str:
    """What stands where this was looked for, under a name like it."""
    try:
        near = _near(place.name, (one.name for one in place.parent.iterdir() if one.name != place.name))
    except OSError:
        return f"There is no folder {place.parent} either."
    return f'Did you mean "{place.parent / near}"?' if near else ""


def _meant(words: tuple[str, ...], path: str) -> str:
    names = set[str]()
    if hint := _words_hint(words):
        return hint
    for folder in path.split(os.pathsep):
        try:
            names.update(os.listdir(folder) if folder else ())  # noqa: PTH208 - only the names
        except OSError:
            continue
    near = _near(words[0], names)
    return f'Did you mean "{near}"?' if near else "Install it, or write where it is."


def _words_hint(words: tuple[str, ...]) -> str:
    split = " " in words[0].strip()
    return f"Write the program and each argument as a separate text: {_split(words)}" if split else ""


def _split(words: tuple[str, ...]) -> str:
    """The list that was probably meant; what only a shell understands is left to one."""
    line = words[0] if len(words) == 1 else shlex.join(words)
    try:
        parts = shlex.split(words[0], comments=False) + list(words[1:])
    except ValueError:
        parts = []
    if not parts or any(mark in words[0] for mark in "|&;<>$`*?~(){}"):
        parts = ["sh", "-c", line]
    return "[" + ", ".join(f'"{_quoted(one)}"' for one in parts) + "]"


def _quoted(word: str) -> str:
    return word.replace("\\", "\\\\").replace('"', '\\"')


def _near(name: str, names: Iterable[str]) -> str:
    some = [one for one, _ in zip(sorted(names), range(COMPARED), strict=False)]
    return next(iter(difflib.get_close_matches(name, some, n=1, cutoff=0.75)), "")
