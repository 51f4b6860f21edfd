"""Edits the text of a workflow file as structured verbs ask: more servers like one that is there.

The file itself stays as it is. The edited text is loaded, and must be the same workflow with just these servers more.
"""

from __future__ import annotations

import difflib
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from batchwright.agents.slices.definition_patch import DefinitionEdit
from batchwright.app.planned import workflow_invalid
from batchwright.app.plans import check
from batchwright.app.settings import Settings
from batchwright.app.workflow_source import Source
from batchwright.errors import UsageError
from batchwright.loader import Path_, locate, nickel_scanner
from batchwright.model.did_you_mean import close_matches
from batchwright.model.workflow import Operation, ServerConfig, Workflow
from batchwright.operations.base import PortKind
from batchwright.operations.registry import type_of
from batchwright.providers import registry

COUNT_MOST = 100
_ZONE = re.compile(r"[A-Za-z0-9][\w.-]{0,62}", re.ASCII)
_TAIL = re.compile(r"^(.*?)(\d+)$")


class _Place(Struct, frozen=True):
    """Where a server stands in a workflow: its operation, its own configuration, and the path to it."""

    operation: Operation
    config: ServerConfig
    path: Path_


def more_servers(settings: Settings, source: Source, like: str, count: int, zone: str) -> DefinitionEdit:
    """The edit that adds `count` servers like one of the file; `zone` "" is the same zone.

    Raises UsageError with what to do by hand if the server is not written out in the file, WorkflowInvalid if the file
    is not valid.
    """
    if not 1 <= count <= COUNT_MOST:
        raise UsageError(f"--count {count}", hint=f"Give a number from 1 to {COUNT_MOST}.")
    if zone and not _ZONE.fullmatch(zone):
        raise UsageError(f"--zone {zone!r} is not a name", hint="Write letters, digits, - _ and .")
    before = _workflow(settings, source)
    place = _find(before, like)
    text = source.file.read_text(encoding="utf-8")
    begin, end = _record(source, text, place)
    names = _next_names(before, like, count)
    piece = text[begin:end]
    copies = [_copy(piece, like, name, zone) for name in names]
    indent = re.search(r"[ \t]*$", text[:begin].rpartition("\n")[2])
    joint = f",\n{indent[0]}" if indent and text[:begin].rpartition("\n")[2].strip() == "" else ", "
    edited = text[:end] + "".join(joint + copy for copy in copies) + text[end:]
    with _written(source.file, edited) as copy:
        after = _workflow(settings, replace(source, file=copy))
    if after != _expected(before, place, names, zone):
        raise UsageError(f"{source.file} is not so simple that {like} can be copied", hint=_BY_HAND)
    lines = difflib.unified_diff(
        text.splitlines(keepends=True),
        edited.splitlines(keepends=True),
        f"a/{source.file.name}",
        f"b/{source.file.name}",
    )
    return DefinitionEdit(str(source.file), place.operation.id, like, zone, names, "".join(lines), len(_servers(after)))


_BY_HAND = "Add the servers by hand, where the file makes them; `batchwright plan` shows whether it is as meant."


def _workflow(settings: Settings, source: Source) -> Workflow:
    loaded = check(source, settings)
    if loaded.workflow is None:
        raise workflow_invalid(loaded.diagnostics)
    return loaded.workflow


def _servers(workflow: Workflow) -> dict[str, _Place]:
    found: dict[str, _Place] = {}
    for number, operation in enumerate(workflow.operations):
        kind = type_of(operation)
        if kind.port is PortKind.PROVIDER:
            for name, part in kind.parts(operation).items():
                config = getattr(operation, str(part[0]))[part[1]]
                found[name] = _Place(operation, config, ("batch_workflow", "operations", number, *part))
    return found


def _find(workflow: Workflow, like: str) -> _Place:
    known = _servers(workflow)
    if like not in known:
        near = close_matches(like, known, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"It has: {', '.join(list(known)[:5]) or 'none'}."
        raise UsageError(f"the file has no server {like!r}", hint=hint)
    return known[like]


def _record(source: Source, text: str, place: _Place) -> tuple[int, int]:
    """From where to where the server stands in the text. Raises UsageError if it does not stand there as a record."""
    spots = locate(source.file, [place.path], inputs=source.inputs, providers=registry.contracts())
    places = nickel_scanner.Places(text)
    if spots and spots[0].file == str(source.file):
        begin = places.offset(nickel_scanner.Position(spots[0].line, spots[0].column))
        depth = 0
        for token in nickel_scanner.tokens(text):
            if token.offset < begin:
                continue
            if token.offset == begin and token.kind != "open":
                break
            depth += (token.kind == "open") - (token.kind == "close")
            if depth == 0:
                return begin, token.offset + len(token.text)
    raise UsageError(f"{place.config.name} is not written out in {source.file}", hint=_BY_HAND)


def _fields(piece: str) -> dict[str, tuple[int, int, str]]:
    """The fields of a record that are plain texts: from where to where the value stands, and the value."""
    found: dict[str, tuple[int, int, str]] = {}
    depth = 0
    stream = list(nickel_scanner.tokens(piece))
    for at, token in enumerate(stream):
        depth += (token.kind == "open") - (token.kind == "close")
        if depth != 1 or token.kind not in ("word", "text") or at + 2 >= len(stream):
            continue
        joint, value = stream[at + 1 : at + 3]
        if joint.text in ("=", ":") and value.kind == "text":
            end = piece.index('"', value.offset + 1) + 1
            found[token.text] = (value.offset, end, value.text)
    return found


def _copy(piece: str, like: str, name: str, zone: str) -> str:
    """The record with another name, and another zone if one is given. Raises UsageError."""
    wanted = {"name": name, **({"zone": zone} if zone else {})}
    fields = _fields(piece)
    if fields.get("name", (0, 0, ""))[2] != like or (zone and "zone" not in fields):
        raise UsageError(f"name or zone of {like} are not plain texts in the file", hint=_BY_HAND)
    for field, value in sorted(wanted.items(), key=lambda one: -fields[one[0]][0]):
        begin, end, _ = fields[field]
        piece = f'{piece[:begin]}"{value}"{piece[end:]}'
    return piece


def _next_names(workflow: Workflow, like: str, count: int) -> tuple[str, ...]:
    """The names that follow: after web-02 and web-05 of web-02's kind come web-06 and web-07."""
    tail = _TAIL.match(like)
    stem, width = (tail[1], len(tail[2])) if tail else (f"{like}-", 1)
    taken = [int(one[2]) for name in _servers(workflow) if (one := _TAIL.match(name)) and one[1] == stem]
    first = max(taken, default=1) + 1
    return tuple(f"{stem}{number:0{width}}" for number in range(first, first + count))


def _expected(workflow: Workflow, place: _Place, names: tuple[str, ...], zone: str) -> Workflow:
    """The workflow with the servers that were asked for, right behind the one that they are like."""
    number, field, index = place.path[2], str(place.path[3]), place.path[4]
    assert isinstance(number, int)
    assert isinstance(index, int)
    same_zone = zone or place.config.zone
    made = tuple(replace(place.config, name=name, zone=same_zone) for name in names)
    operation = workflow.operations[number]
    configs = getattr(operation, field)
    grown = replace(operation, **{field: (*configs[: index + 1], *made, *configs[index + 1 :])})  # type: ignore[type-var]
    return replace(workflow, operations=(*workflow.operations[:number], grown, *workflow.operations[number + 1 :]))


@contextmanager
def _written(file: Path, text: str) -> Iterator[Path]:
    """A copy with this text, for the time of the block; beside the file if it imports something, which is relative."""
    folder = file.parent if nickel_scanner.possible_imports(text) else None
    with tempfile.TemporaryDirectory(prefix=".batchwright-", dir=folder) as place:
        copy = Path(place, file.name) if folder is None else Path(f"{place}{file.suffix}")
        try:
            copy.write_text(text, encoding="utf-8")
            yield copy
        finally:
            copy.unlink(missing_ok=True)
