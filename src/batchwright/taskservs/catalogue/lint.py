"""Finds mistakes in a catalogue entry without a server: in its metadata, its deploy and its scripts."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from batchwright.errors import CatalogueInvalid
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.taskserv import Taskserv
from batchwright.taskservs.catalogue.metadata import DEPLOY_FILE, ENTRY_FILE, GIVEN, closest, examine

VERBS = ("install", "remove")
OF_SERVER, OF_CLUSTER = ("name", "address"), ("number", "size", "leader")
LOADING_SECONDS, PARSING_SECONDS = 60.0, 10.0

# Deploys import pyinfra, which patches the process it runs in, so they are loaded in a separate one.
_LOAD = """
import importlib.util, sys
for number, path in enumerate(sys.argv[1:]):
    spec = importlib.util.spec_from_file_location(f"deploy_{number}", path)
    try:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    except BaseException as error:
        print(number, f"{type(error).__name__}: {error}".replace(chr(10), " "), flush=True)
"""


def lint_folders(folders: Sequence[Path]) -> list[Diagnostic]:
    """Everything that is wrong with the entries in these folders. Nothing is installed."""
    found: list[Diagnostic] = []
    loadable: list[Path] = []
    for folder in folders:
        examined = examine(folder)
        found += examined.mistakes
        deploy = folder / DEPLOY_FILE
        if examined.entry is not None:
            found += _script_mistakes(folder, examined.entry)
            wrong = list(_deploy_mistakes(deploy, examined.entry))
            found += wrong
            loadable += [] if wrong else [deploy]
    return found + _load(loadable)


def _deploy_mistakes(deploy: Path, entry: Taskserv) -> Iterator[Diagnostic]:
    file = str(deploy)
    try:
        tree = ast.parse(deploy.read_text(encoding="utf-8"))
    except FileNotFoundError:
        yield Diagnostic(
            CatalogueInvalid.code, "is missing", "Write one with the functions install(v) and remove(v).", file=file
        )
        return
    except (OSError, SyntaxError, ValueError) as error:
        yield Diagnostic(CatalogueInvalid.code, f"is not Python: {error}", "Correct the line it names.", file=file)
        return
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    given: set[str] = set()
    for verb in VERBS:
        arguments = functions[verb].args.args if verb in functions else []
        if len(arguments) != 1:
            yield Diagnostic(
                CatalogueInvalid.code, f"has no function {verb}(v)", "docs/taskservs.md shows one.", file=file
            )
        given.update(argument.arg for argument in arguments)
    for line, message, hint in sorted(_uses(tree, given, entry)):
        yield Diagnostic(CatalogueInvalid.code, f"line {line}: {message}", hint, file=file)


def _uses(tree: ast.Module, given: set[str], entry: Taskserv) -> Iterator[tuple[int, str, str]]:
    """Uses of `v` in a deploy that it does not get: line, message, hint."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=v), attr=name) if v in given:
                for message, hint in _taken(v, name, entry):
                    yield node.lineno, message, hint
            case ast.Attribute(value=ast.Attribute(value=ast.Name(id=v), attr=part), attr=name) if v in given:
                known = {"server": OF_SERVER, "cluster": OF_CLUSTER, "outputs": tuple(entry.outputs)}.get(part)
                if known is not None and name not in known:
                    yield node.lineno, f"{v}.{part} has no {name}", closest(name, known)
            case ast.Call(func=ast.Name(id="getattr"), args=[ast.Name(id=v), ast.Constant(value=str(name)), *_]):
                if v in given and name not in {*entry.variables, *GIVEN}:
                    yield node.lineno, f"there is no variable {name}", closest(name, entry.variables)


def _taken(v: str, name: str, entry: Taskserv) -> Iterator[tuple[str, str]]:
    variable = entry.variables.get(name)
    if variable is None and name not in GIVEN:
        yield f"{v}.{name}: there is no such variable", closest(name, [*entry.variables, *GIVEN])
    elif variable is not None and variable.optional:
        yield f"{v}.{name} is optional and may be missing", f'Write getattr({v}, "{name}", None).'


def _script_mistakes(folder: Path, entry: Taskserv) -> Iterator[Diagnostic]:
    scripts = {f"check.{check.name}.{check.way}": check.script for check in entry.check}
    scripts |= {f"outputs.{name}.run": output.run for name, output in entry.outputs.items()}
    scripts["present"] = entry.present
    for field, script in scripts.items():
        if said := _parse(script):
            yield Diagnostic(
                CatalogueInvalid.code,
                f"{field}: is not shell: {said}",
                "Correct the script.",
                file=str(folder / ENTRY_FILE),
            )
    for file in sorted(folder.glob("files/**/*.sh")):
        if said := _parse(file.read_text(encoding="utf-8", errors="replace")):
            yield Diagnostic(CatalogueInvalid.code, f"is not shell: {said}", "Correct the script.", file=str(file))


def _parse(script: str) -> str:
    """The error of `sh` for a script that it cannot parse. Nothing is run."""
    done = subprocess.run(
        ["/bin/sh", "-n"], input=script, capture_output=True, text=True, check=False, timeout=PARSING_SECONDS
    )
    return " ".join(done.stderr.split()) or "it cannot be parsed" if done.returncode else ""


def _load(deploys: Sequence[Path]) -> list[Diagnostic]:
    if not deploys:
        return []
    command = [sys.executable, "-c", _LOAD, *map(str, deploys)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LOADING_SECONDS)  # noqa: S603
    except subprocess.TimeoutExpired:
        return [
            Diagnostic(
                CatalogueInvalid.code,
                f"loading it took over {LOADING_SECONDS:g} s",
                "Importing a deploy should only define functions.",
                file=str(deploys[0]),
            )
        ]
    found = []
    for line in done.stdout.splitlines():
        number, _, said = line.partition(" ")
        if number.isdigit() and int(number) < len(deploys):
            hint = "Correct the line it names."
            if said.startswith("ModuleNotFoundError"):
                hint = "Install what it imports; pyinfra comes with: pip install 'batchwright[taskservs]'"
            found.append(
                Diagnostic(CatalogueInvalid.code, f"cannot be loaded: {said}", hint, file=str(deploys[int(number)]))
            )
    return found
