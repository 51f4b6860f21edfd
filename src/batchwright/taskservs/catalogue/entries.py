"""Folders with a taskserv.yaml to catalogue entries: built in, from installed packages, and the user's own."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import EntryPoint, entry_points
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import NoReturn

import msgspec

from batchwright.errors import CatalogueInvalid
from batchwright.model.catalogue import (
    Check,
    Needs,
    Output,
    Platform,
    Taskserv,
    Timeouts,
    Value,
    Variable,
    VariableType,
    Variant,
    by_provided_name,
)

ENTRY_FILE = "taskserv.yaml"
GROUP = "batchwright.taskservs"  # entry points that name a package whose folder holds entries
ENTRY_BYTES_MAX = 256 * 1024

_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
_PATH = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>[^`]*)`)?$", re.DOTALL)
_UNKNOWN_FIELD = re.compile(r"unknown field `(?P<name>[^`]*)`")
_STRUCTS: tuple[type[msgspec.Struct], ...] = (Taskserv, Variable, Variant, Needs, Platform, Check, Output, Timeouts)


def load_catalogue(own: Iterable[Path] = ()) -> dict[str, Taskserv]:
    """All entries by name: built in, from installed packages, and the user's `own`. Raises CatalogueInvalid."""
    found: dict[str, Taskserv] = {}
    sources: dict[str, Traversable] = {}
    for root in _roots(own):
        folders = _entry_folders(root)
        if not folders:
            _refuse(root, f"holds no task service: no folder with a {ENTRY_FILE} in it", "Check the path.")
        for folder in folders:
            entry = read_entry(folder)
            if entry.name in found:
                _refuse(
                    folder / ENTRY_FILE,
                    f'there is a task service "{entry.name}" already, in {sources[entry.name]}',
                    "Give one of them another name.",
                )
            found[entry.name] = entry
            sources[entry.name] = folder / ENTRY_FILE
    _check_requires(found, sources)
    return dict(sorted(found.items()))


def entry_folders(own: Iterable[Path] = ()) -> dict[str, Path]:
    """The folder of each entry of `load_catalogue`, by name. Raises CatalogueInvalid."""
    return {folder.name: _real(folder) for root in _roots(own) for folder in _entry_folders(root)}


def _real(folder: Traversable) -> Path:
    """Deploys are run from files."""
    if not isinstance(folder, Path):
        _refuse(folder, "is not a folder of the file system", "Install the package that brings it unpacked.")
    return folder


def read_entry(folder: Traversable) -> Taskserv:
    """The entry in one folder. Raises CatalogueInvalid: which file, which field, what would be right."""
    source = folder / ENTRY_FILE
    try:
        body = source.read_bytes()
        if len(body) > ENTRY_BYTES_MAX:
            _refuse(source, f"the file has more than {ENTRY_BYTES_MAX} bytes", "Keep only metadata in it.")
        entry = msgspec.yaml.decode(body, type=Taskserv)
    except OSError as error:
        _refuse(source, f"cannot be read: {error.strerror or error}", "Check the path and its permissions.")
    except msgspec.ValidationError as error:
        _refuse_shape(source, str(error))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        _refuse(source, f"is not YAML: {' '.join(str(error).split())}", "Correct the line it names.")
    if not _NAME.fullmatch(entry.name):
        _refuse(source, f'name: "{entry.name}" is not a name', "Use lower-case letters, digits and hyphens.")
    if entry.name != folder.name:
        _refuse(source, f'name: "{entry.name}" is not the name of its folder, "{folder.name}"', "Make them the same.")
    if not entry.seconds > 0 or entry.needs.memory_mb < 0:
        _refuse(source, "seconds must be more than 0 and needs.memory_mb at least 0", "Correct the number.")
    _check_variables(source, entry)
    return entry


def _roots(own: Iterable[Path]) -> Iterator[Traversable]:
    yield files(__package__)
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        yield _root_of(point)
    for folder in own:
        if not folder.is_dir():
            _refuse(folder, "is not a folder", "Name a folder that holds one folder per task service.")
        yield folder


def _root_of(point: EntryPoint) -> Traversable:
    try:
        return files(point.load())
    except Exception as error:  # a plug-in may fail in any way; it is named, and the user decides
        raise CatalogueInvalid(
            f'the entry point "{point.name}" ({point.value}) of group {GROUP} cannot be loaded: {error}',
            hint="Mend or uninstall the package that brings it.",
        ) from error


def _entry_folders(root: Traversable) -> list[Traversable]:
    children = sorted(root.iterdir(), key=lambda child: child.name)
    return [child for child in children if child.is_dir() and (child / ENTRY_FILE).is_file()]


def _check_variables(source: Traversable, entry: Taskserv) -> None:
    for name, variable in entry.variables.items():
        if (variable.type is VariableType.ENUM) != bool(variable.values):
            _refuse(source, f"variables.{name}.values: an enum has values and nothing else has", "Correct the type.")
        if variable.default is not None:
            _check_value(source, f"variables.{name}.default", variable, variable.default)
    for provider, variant in entry.variants.items():
        for name, value in variant.variables.items():
            field = f"variants.{provider}.variables.{name}"
            if name not in entry.variables:
                _refuse(source, f"{field}: the entry has no such variable", _closest(name, entry.variables))
            _check_value(source, field, entry.variables[name], value)


def _check_value(source: Traversable, field: str, variable: Variable, value: Value) -> None:
    wanted = variable.wanted(value)
    if wanted:
        _refuse(source, f"{field}: {value!r} is not {wanted}", f"Write {wanted}.")


def _check_requires(entries: Mapping[str, Taskserv], sources: Mapping[str, Traversable]) -> None:
    providers = by_provided_name(entries)
    graph: dict[str, list[str]] = {}
    for entry in entries.values():
        for name in entry.requires:
            if name not in providers:
                _refuse(sources[entry.name], f'requires: nothing provides "{name}"', _closest(name, providers))
        # with several to choose from, a choice that makes no circle may exist
        graph[entry.name] = [providers[name][0] for name in entry.requires if len(providers[name]) == 1]
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = error.args[1]
        _refuse(sources[circle[0]], f"requires: goes in a circle: {' before '.join(circle)}", "Break the circle.")


def _refuse_shape(source: Traversable, message: str) -> NoReturn:
    match = _PATH.match(message)
    what, path = (match["what"], match["path"] or "") if match else (message, "")
    field = path.removeprefix("$").removeprefix(".")
    unknown = _UNKNOWN_FIELD.search(what)
    known = {name for struct in _STRUCTS for name in struct.__struct_fields__}
    hint = _closest(unknown["name"], known) if unknown else "Correct the value."
    if what.startswith(("Expected `str`, got `float`", "Expected `str`, got `int`")):
        hint = 'Put the value into quotes, as in version: "1.30".'
    _refuse(source, f"{field}: {what}" if field else what, hint)


def _closest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, sorted(known), n=1)
    return f'Did you mean "{close[0]}"?' if close else f"Known are: {', '.join(sorted(known)) or 'none'}."


def _refuse(source: Traversable, message: str, hint: str) -> NoReturn:
    raise CatalogueInvalid(f"{source}: {message}", hint=hint)
