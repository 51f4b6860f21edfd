"""Reads the metadata of one catalogue folder strictly and reports all mistakes."""

from __future__ import annotations

import errno
import hashlib
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib.resources.abc import Traversable
from typing import Any, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from batchwright.errors import CatalogueInvalid
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.did_you_mean import close_matches
from batchwright.model.scalar import PlainValue
from batchwright.model.taskserv import (
    HttpAnswer,
    Output,
    Platform,
    Scope,
    ServerRequirements,
    Taskserv,
    TaskservCheck,
    TcpPort,
    Timeouts,
    Variant,
)
from batchwright.model.taskserv_variable import Variable, VariableType, seconds_of
from batchwright.model.templates import references

ENTRY_FILE = "taskserv.yaml"
DEPLOY_FILE = "deploy.py"
ENTRY_BYTES_MAX = 256 * 1024
FOLDER_BYTES_MAX = 16 * 1024 * 1024
# what a deploy is given beside the variables
GIVEN = ("name", "version", "variant", "server", "cluster", "outputs", "secrets")

_NO_ELEMENTS = (VariableType.LIST, VariableType.MAP, VariableType.SECRET, VariableType.SOURCE, VariableType.FILE)
_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
_URL = re.compile(r"http://[^\s/?#@]+(?:[/?]\S*)?")
_VARIABLE = re.compile(r"[a-z][a-z0-9_]{0,62}")
_PATH = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>[^`]*)`)?$", re.DOTALL)
_UNKNOWN_FIELD = re.compile(r"unknown field `(?P<name>[^`]*)`")
_STRUCTS: tuple[type[Struct], ...] = (
    Taskserv,
    Variable,
    Variant,
    ServerRequirements,
    Platform,
    TaskservCheck,
    HttpAnswer,
    TcpPort,
    Output,
    Timeouts,
)

T = TypeVar("T")


class Examined(Struct, frozen=True):
    """An entry, or the mistakes that make it invalid."""

    entry: Taskserv | None
    mistakes: tuple[Diagnostic, ...]


def examine(folder: Traversable) -> Examined:
    """Read one folder. All mistakes are reported at once; a file that cannot be read at all gives one."""
    source = folder / ENTRY_FILE
    reading = _Reading(str(source))
    try:
        body = _content(source, ENTRY_BYTES_MAX)
        digest = digest_of(folder)
    except OSError as error:
        reading.wrong(f"cannot be read: {error.strerror or error}", "Check the path and its permissions.")
        return reading.result(None)
    except ValueError as error:
        reading.wrong(str(error), "Keep only what an install needs in the folder.")
        return reading.result(None)
    if len(body) > ENTRY_BYTES_MAX:
        reading.wrong(f"the file has more than {ENTRY_BYTES_MAX} bytes", "Keep only metadata in it.")
        return reading.result(None)
    examined = _parsed(str(source), folder.name, body)
    return examined if examined.entry is None else replace(examined, entry=replace(examined.entry, digest=digest))


@lru_cache(maxsize=128)  # YAML takes milliseconds, and a service reads the same files for each workflow
def _parsed(source: str, folder: str, body: bytes) -> Examined:
    reading = _Reading(source)
    entry = reading.entry(body)
    if entry is not None:
        for message, hint in (*_name_mistakes(entry, folder), *_mistakes(entry)):
            reading.wrong(message, hint)
    return reading.result(entry)


def digest_of(folder: Traversable) -> str:
    """A digest over every file's path and content, without Python's caches. Raises OSError; ValueError if it is too
    large.
    """
    digest, size = hashlib.sha256(), 0
    for path, file in sorted(_files(folder, "")):
        content = _content(file, FOLDER_BYTES_MAX)
        size += len(content)
        if size > FOLDER_BYTES_MAX:
            raise ValueError(f"the folder holds more than {FOLDER_BYTES_MAX // 1024 // 1024} MB")
        digest.update(f"{path}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


def _content(file: Traversable, most: int) -> bytes:
    """The content of a regular file, at most `most` + 1 bytes. A pipe would block, and a device has no end."""
    if not file.is_file():
        raise OSError(errno.EINVAL, f"{file.name} does not exist or is not a regular file")
    with file.open("rb") as opened:
        return opened.read(most + 1)


def _files(folder: Traversable, prefix: str) -> Iterator[tuple[str, Traversable]]:
    for child in folder.iterdir():
        if child.name == "__pycache__" or child.name.endswith(".pyc") or child.name.startswith("."):
            continue
        if child.is_dir():
            yield from _files(child, f"{prefix}{child.name}/")
        else:
            yield prefix + child.name, child


class _Reading:
    """Turns the document into an entry piece by piece, so that each mistake is found and named by its field."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._mistakes: list[Diagnostic] = []

    def wrong(self, message: str, hint: str) -> None:
        self._mistakes.append(Diagnostic(CatalogueInvalid.code, message, hint, file=self._file))

    def result(self, entry: Taskserv | None) -> Examined:
        return Examined(None if self._mistakes else entry, tuple(self._mistakes))

    def entry(self, body: bytes) -> Taskserv | None:
        try:
            document = msgspec.yaml.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self.wrong(f"is not YAML: {' '.join(str(error).split())}", "Correct the line it names.")
            return None
        if not isinstance(document, dict):
            self.wrong("holds no fields", "Begin it with: name: NAME")
            return None
        bare = {key: value for key, value in document.items() if key != "digest"}
        if "digest" in document:
            self.wrong("digest: it is computed from the folder", "Leave it out.")
        parts = {
            "variables": self._each(bare, "variables", Variable),
            "variants": self._each(bare, "variants", Variant),
            "outputs": self._each(bare, "outputs", Output),
            "check": tuple(self._list(bare, "check", TaskservCheck)),
        }
        self._seconds(bare, "", ("seconds",))
        self._seconds(bare.get("timeouts"), "timeouts.", ("install", "remove"))
        whole = self._convert(bare, Taskserv, "")
        return replace(whole, **parts) if whole is not None else None

    def _each(self, document: dict[str, Any], field: str, kind: type[T]) -> dict[str, T]:
        raw = document.get(field)
        if not isinstance(raw, dict):
            return {}  # reported with the other mistakes
        document.pop(field)
        found = {str(name): self._convert(value, kind, f"{field}.{name}") for name, value in raw.items()}
        return {name: value for name, value in found.items() if value is not None}

    def _list(self, document: dict[str, Any], field: str, kind: type[T]) -> list[T]:
        raw = document.get(field)
        if not isinstance(raw, list):
            return []
        document.pop(field)
        found = []
        for at, value in enumerate(raw):
            name = value.get("name") if isinstance(value, dict) else None
            where = f"{field}.{name}" if isinstance(name, str) else f"{field}[{at}]"
            self._seconds(value, f"{where}.", ("every", "timeout"))
            found.append(self._convert(value, kind, where))
        return [value for value in found if value is not None]

    def _seconds(self, raw: object, prefix: str, fields: tuple[str, ...]) -> None:
        """Durations may be texts such as 10m."""
        for field in fields:
            value = raw.get(field) if isinstance(raw, dict) else None
            if isinstance(value, str | int | float) and isinstance(raw, dict):
                seconds = seconds_of(value)
                if seconds is None:
                    self.wrong(f"{prefix}{field}: {value!r} is no duration above 0", 'Write seconds, or "30s", "10m".')
                raw[field] = seconds or 1.0

    def _convert(self, raw: object, kind: type[T], where: str) -> T | None:
        try:
            return msgspec.convert(raw, kind)
        except msgspec.ValidationError as error:
            self._shape(str(error), where)
            return None

    def _shape(self, said: str, where: str) -> None:
        match = _PATH.match(said)
        what, path = (match["what"], match["path"] or "") if match else (said, "")
        inner = path.removeprefix("$").removeprefix(".")
        field = f"{where}.{inner}" if where and inner else where or inner
        unknown = _UNKNOWN_FIELD.search(what)
        known = {name for struct in _STRUCTS for name in struct.__struct_fields__} - {"digest"}
        hint = closest(unknown["name"], known) if unknown else "Correct the value."
        if what.startswith(("Expected `str`, got `float`", "Expected `str`, got `int`")):
            hint = 'Put the value into quotes, as in version: "1.30".'
        self.wrong(f"{field}: {what}" if field else what, hint)


Found = Iterator[tuple[str, str]]  # message, hint


def _name_mistakes(entry: Taskserv, folder: str) -> Found:
    if not _NAME.fullmatch(entry.name):
        yield f'name: "{entry.name}" is not a name', "Use lower-case letters, digits and hyphens."
    elif entry.name != folder:
        yield f'name: "{entry.name}" is not the name of its folder, "{folder}"', "Make them the same."


def _mistakes(entry: Taskserv) -> Found:
    yield from _variable_mistakes(entry)
    yield from _variant_mistakes(entry)
    names = [check.name for check in entry.check]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"check.{name}: the name is used twice", "Give one of them another name."
    for check in entry.check:
        yield from _check_mistakes(f"check.{check.name}", check)
    for name in entry.outputs:
        if not _VARIABLE.fullmatch(name):
            yield f'outputs.{name}: "{name}" is not a name', "Use lower-case letters, digits and underscores."
    if entry.outputs and entry.scope is not Scope.CLUSTER:
        yield "outputs: only entries of scope cluster have them", "Write scope: cluster, or leave them out."
    for what in ("memory_mb", "cpus"):
        if getattr(entry.needs, what) < 0:
            yield f"needs.{what}: it must not be negative", "Correct the number."


def _check_mistakes(field: str, check: TaskservCheck) -> Found:
    if sum((bool(check.run.strip()), check.http is not None, check.tcp is not None)) != 1 or check.retries < 0:
        yield f"{field}: it needs one of `run`, `http` and `tcp`, and `retries` of at least 0", "Correct the value."
    if check.http is not None and not _URL.fullmatch(check.http.url):
        hint = 'Write "http://$bind:$port/PATH"; for https use a script in `run`.'
        yield f"{field}.http.url: {check.http.url!r} is not a URL that begins with http://", hint
    port = check.tcp.port if check.tcp is not None else 1
    if not (port in range(1, 65536) if isinstance(port, int) else port.startswith("$")):
        yield f"{field}.tcp.port: {port!r} is no port", 'Write a number from 1 to 65535, or a variable: "$port".'


def _variable_mistakes(entry: Taskserv) -> Found:
    for name, variable in entry.variables.items():
        field = f"variables.{name}"
        if name in GIVEN:
            yield f"{field}: v.{name} has another meaning in a deploy", "Choose another name."
        yield from _one_mistake(field, name, variable)
        for inside, part in variable.fields.items():
            yield from _one_mistake(f"{field}.fields.{inside}", inside, part)
            if part.type in (VariableType.LIST, VariableType.MAP):
                yield f"{field}.fields.{inside}.type: a field holds neither a list nor a map", "Correct the type."


def _one_mistake(field: str, name: str, variable: Variable) -> Found:
    default = variable.default
    if not _VARIABLE.fullmatch(name):
        yield f'{field}: "{name}" is not a name', "Use lower-case letters, digits and underscores."
    if variable.type in (VariableType.LIST, VariableType.MAP) and variable.of in _NO_ELEMENTS:
        yield f"{field}.of: a {variable.type} does not hold a {variable.of}", "Correct the type."
    elif mistake := _map_mistake(variable):
        yield f"{field}.{mistake[0]}", mistake[1]
    elif (_type(variable) is VariableType.ENUM) != bool(variable.values):
        yield f"{field}.values: only an enum has values, and it must have some", "Correct the type."
    elif mistake := _bounds_mistake(variable):
        yield f"{field}.{mistake[0]}", mistake[1]
    elif default is not None and variable.optional:
        yield f"{field}: a variable with a default is always set", "Leave out `optional`, or the default."
    elif default is not None and variable.type is VariableType.SECRET:
        yield f"{field}.default: a secret must not be written here", "Leave the default out."
    elif default is not None:
        yield from _value_mistakes(f"{field}.default", variable, default)


def _type(variable: Variable) -> VariableType:
    """The type that its other fields are about."""
    return variable.of if variable.type in (VariableType.LIST, VariableType.MAP) else variable.type


def _map_mistake(variable: Variable) -> tuple[str, str] | None:
    """What is wrong with the fields that only a map has, if anything."""
    if variable.type is not VariableType.MAP and (variable.keys or variable.fields or variable.one_of):
        return "keys: only a map has `keys`, `fields` and `one_of`", "Leave it out."
    if variable.type is VariableType.MAP and variable.default is not None:
        return "default: a map has none", "Leave it out."
    if bool(variable.keys) != bool(variable.keys_mean):
        return "keys_mean: `keys` and `keys_mean` (the pattern in words) go together", "Write both, or neither."
    if unknown := [name for name in variable.one_of if name not in variable.fields]:
        return f"one_of: there is no field {unknown[0]}", closest(unknown[0], variable.fields)
    if variable.secret and _type(variable) is not VariableType.STRING:
        return "secret: only a string may also be a secret", "Leave it out."
    try:
        re.compile(variable.keys)
    except re.error as error:
        return f"keys: is not a regular expression: {error}", "Correct the pattern."
    return None


def _bounds_mistake(variable: Variable) -> tuple[str, str] | None:
    """What is wrong with its pattern or its bounds, if anything."""
    if variable.of is not VariableType.STRING and variable.type not in (VariableType.LIST, VariableType.MAP):
        return "of: only a list or a map has elements", "Leave it out."
    if variable.pattern and _type(variable) not in (VariableType.STRING, VariableType.SECRET):
        return "pattern: only a string or a secret can have one", "Leave it out."
    if bool(variable.pattern) != bool(variable.means):
        return "means: `pattern` and `means` (the pattern in words) go together", "Write both, or neither."
    bounds = [bound for bound in (variable.least, variable.most) if bound is not None]
    if bounds and _type(variable) not in (VariableType.INTEGER, VariableType.NUMBER):
        return "least: only a number can have bounds", "Leave `least` and `most` out."
    if bounds != sorted(bounds):
        return "least: it is more than `most`", "Correct the numbers."
    try:
        re.compile(variable.pattern)
    except re.error as error:
        return f"pattern: is not a regular expression: {error}", "Correct the pattern."
    return None


def _variant_mistakes(entry: Taskserv) -> Found:
    for provider, variant in entry.variants.items():
        for name, value in variant.variables.items():
            field = f"variants.{provider}.variables.{name}"
            if name not in entry.variables:
                yield f"{field}: the entry has no such variable", closest(name, entry.variables)
            else:
                yield from _value_mistakes(field, entry.variables[name], value)


def _value_mistakes(field: str, variable: Variable, value: PlainValue) -> Found:
    texts = [one for one in (value if isinstance(value, tuple) else (value,)) if isinstance(one, str)]
    own = {"server.address", "server.name"}  # an entry knows no other name
    wanted = variable.wanted(value)
    if any(one.path not in own for text in texts for one in references(text)):
        wanted = "${server.address} or ${server.name} where it is about its server"
    if wanted:
        yield f"{field}: {value!r} is not {wanted}", f"Write {wanted}."


def closest(name: str, known: Iterable[str]) -> str:
    """A hint with the closest known name, or all of them."""
    close = close_matches(name, sorted(known), n=1)
    return f'Did you mean "{close[0]}"?' if close else f"Known: {', '.join(sorted(known)) or 'none'}."
