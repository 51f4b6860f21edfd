"""Checks what a command needs on this machine before anything is changed: programs, folder and secrets."""

from __future__ import annotations

import difflib
import os
import shlex
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from msgspec.structs import replace

from batchwright.commands.argument_limits import unfit
from batchwright.commands.base import program_name
from batchwright.commands.shebang import unrunnable
from batchwright.errors import SecretMissing
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.secret_reference import SecretReference
from batchwright.model.templates import filled, named
from batchwright.operations.command import Command, CommandRequest
from batchwright.secret_resolver import peek

COMPARED = 20_000  # file names that a misspelt one is compared with


def find_here(command: Command, environ: Mapping[str, str], base: str = "") -> CommandRequest | list[Diagnostic]:
    """The request of a local command, or everything that it needs and that is missing on this machine.

    Its folder is relative to `base`; without one it works where Batchwright was started.
    """
    flaws = [*secret_flaws(command.env, environ, field="env"), *size_flaws(command, environ)]
    folder = _folder(os.path.join(base, command.directory) if command.directory else ".")  # noqa: PTH118 - as `_folder`
    if isinstance(folder, Diagnostic):
        return [*flaws, folder]
    path = search_path(command.env, environ)
    missing: dict[Diagnostic, str] = {}  # a program that several need is reported once
    for field, words in (("run", command.run), ("undo", command.undo), ("unless", command.unless)):
        found = find_program(_known(words), folder, path)
        if isinstance(found, Diagnostic):
            missing.setdefault(found, field)
    flaws += [replace(one, field=field) for one, field in missing.items()]
    return flaws or _request(command)


def find_there(command: Command, environ: Mapping[str, str]) -> CommandRequest | list[Diagnostic]:
    """A command that runs on servers, which may not exist yet: only what does not depend on them is checked."""
    return [*secret_flaws(command.env, environ, field="env"), *size_flaws(command, {})] or _request(command)


def _request(command: Command) -> CommandRequest:
    return CommandRequest.of(command, program_name(command.run[0]))


def _known(words: tuple[str, ...]) -> tuple[str, ...]:
    """The words as far as they are known now; none if the program is a value that the run gives."""
    return () if named(words[:1]) else tuple(filled(word, {}) for word in words)


def search_path(env: Mapping[str, object], environ: Mapping[str, str]) -> str:
    """The PATH in which the program of a command is looked for."""
    own = env.get("PATH")
    return own if isinstance(own, str) else environ.get("PATH", os.defpath)


def secret_flaws(
    values: Mapping[str, object], environ: Mapping[str, str], whose: str = "", field: str = ""
) -> list[Diagnostic]:
    """The secrets that cannot be found. A program that prints a secret is only located, not run."""
    found = []
    for name, secret in values.items():
        if isinstance(secret, SecretReference) and (why := secret_lack(secret, environ)):
            message = f'the secret for "{name}"{whose} is missing: {why}'
            found.append(Diagnostic("secret-missing", message, field=field))
    return found


def secret_lack(secret: SecretReference, environ: Mapping[str, str]) -> str:
    """Why a secret is not available; "" if nothing is known against it."""
    if secret.command:
        found = find_program(secret.command, Path(), environ.get("PATH", os.defpath))
        return found.message if isinstance(found, Diagnostic) else ""
    try:
        peek(secret, environ)
    except SecretMissing as error:
        return error.message
    return ""


def size_flaws(command: Command, environ: Mapping[str, str]) -> list[Diagnostic]:
    """Values that cannot be passed to a program: too long, or with characters that cannot be encoded."""
    env = {**environ, **{name: _peeked(value, environ) for name, value in command.env.items()}}
    found = [unfit(words, env) for words in (command.run, command.undo, command.unless) if words]
    return list(dict.fromkeys(one for one in found if one is not None))


def _peeked(value: str | SecretReference, environ: Mapping[str, str]) -> str:
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
        hint = "Change to an existing folder, or give the command an absolute `directory`."
        return Diagnostic("directory-missing", "the current folder no longer exists", hint, field="directory")
    if not folder.is_dir():
        return Diagnostic("directory-missing", f'there is no folder "{folder}"', _like(folder), field="directory")
    if not os.access(folder, os.X_OK):
        message = f'no permission to enter the folder "{folder}"'
        return Diagnostic("directory-missing", message, "Change its permissions, or the user.", field="directory")
    return folder


def find_program(words: tuple[str, ...], folder: Path, path: str) -> tuple[str, ...] | Diagnostic:
    """The words with the path of the program, or why it cannot be run."""
    if not words:
        return ()
    word = words[0]
    if "/" in word:
        place = folder / word
        if not place.is_file():
            what = f'"{place}" is a folder' if place.is_dir() else f'there is no program "{place}"'
            return Diagnostic("program-missing", what, _words_hint(words) or _like(place))
        if not os.access(place, os.X_OK):
            return Diagnostic("program-not-executable", f'"{place}" is not executable', f"Run: chmod +x {place}")
    else:
        found = shutil.which(word, path=path) if word and "\0" not in word else None
        if found is None:
            return Diagnostic("program-missing", f'there is no program "{word}"', _meant(words, path))
        place = Path(found)
    return unrunnable(place, path) or (str(place), *words[1:])


def _like(place: Path) -> str:
    """A hint with the existing file of a similar name."""
    try:
        near = _near(place.name, (one.name for one in place.parent.iterdir() if one.name != place.name))
    except OSError:
        return f"The folder {place.parent} does not exist either."
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
    return f'Did you mean "{near}"?' if near else "Install it, or give its full path."


def _words_hint(words: tuple[str, ...]) -> str:
    split = " " in words[0].strip()
    return f"Write the program and each argument as separate strings: {_split(words)}" if split else ""


def _split(words: tuple[str, ...]) -> str:
    """The list of words that was probably meant; a `sh -c` call if only a shell can interpret it."""
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
