"""Edits the text of a workflow file as structured verbs ask: servers more or fewer, another size, a task service.

The file itself stays as it is. The edited text is loaded, and must be the same workflow with just this change.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from batchwright.agents.slices.definition_patch import DefinitionEdit
from batchwright.app import definition_list_text
from batchwright.app.definition_list_text import BY_HAND, Item, Literal, Plain
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
from batchwright.operations.taskserv_batch.structs import TaskservBatch, TaskservUse
from batchwright.providers import registry

COUNT_MOST = 100
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,62}", re.ASCII)
_TAIL = re.compile(r"^(.*?)(\d+)$")


class DefinitionChange(Struct, frozen=True):
    """One of four verbs: `count` servers like one (in another zone); servers to remove; servers with their new plans; a
    task service with the variables of it, on a server, the servers of an operation, or as one more of an install.
    """

    like: str = ""
    count: int = 1
    zone: str = ""
    remove: Sequence[str] = ()
    resize: Mapping[str, str] = {}
    service: str = ""
    on: str = ""
    variables: Mapping[str, Plain] = {}

    @property
    def verbs(self) -> int:
        """How many are given."""
        return sum(map(bool, (self.like, self.remove, self.resize, self.service)))


class _Place(Struct, frozen=True):
    """Where a server stands in a workflow: its operation, its own configuration, and the path to it."""

    operation: Operation
    config: ServerConfig
    path: Path_


class _Edited(Struct, frozen=True):
    """The new text, what is told about it, and whether a workflow is what it should be."""

    text: str
    told: DefinitionEdit
    is_meant: Callable[[Workflow], bool]


class _File(Struct, frozen=True):
    """A file that is being edited, and the workflow that it holds."""

    source: Source
    text: str
    workflow: Workflow

    @property
    def name(self) -> str:
        """Its name without the folder."""
        return self.source.file.name

    def item(self, path: Path_, what: str) -> Item:
        """Where the value at a path stands in the text. Raises UsageError if it is not written out there."""
        spots = locate(self.source.file, [path], inputs=self.source.inputs, providers=registry.contracts())
        if not spots or spots[0].file != str(self.source.file):
            raise UsageError(f"{what} is not written out in {self.source.file}", hint=BY_HAND)
        return definition_list_text.item_at(self.text, self.name, spots[0])

    def server(self, server: str) -> tuple[_Place, Item]:
        """A server and where it stands. Raises UsageError."""
        place = _find(self.workflow, server)
        return place, self.item(place.path, server)


def edit_definition(settings: Settings, source: Source, change: DefinitionChange) -> DefinitionEdit:
    """The edit that a change asks for.

    Raises UsageError with what to do by hand if what it is about is not written out in the file, WorkflowInvalid if the
    file is not valid, or would not be.
    """
    if change.verbs != 1:
        hint = "Give one of: like a server, servers to remove or resize, a task service."
        raise UsageError("one change at a time", hint=hint)
    if not source.file.exists():
        raise UsageError(f"there is no file {source.file}", hint="Begin one: batchwright new workflow NAME")
    workflow = _workflow(settings, source)  # it also says what cannot be read
    text, ending = definition_list_text.text_of(source.file)
    file = _File(source, text, workflow)
    verb = _more if change.like else _fewer if change.remove else _resized if change.resize else _installed
    edited = verb(file, change)
    with _written(source.file, edited.text) as copy:
        after = _workflow(settings, replace(source, file=copy))
    if not edited.is_meant(after):
        raise UsageError(f"{source.file} is not so simple that this can be done in its text", hint=BY_HAND)
    before, after_ = (one.replace("\n", ending) for one in (file.text, edited.text))
    return replace(
        edited.told, patch=definition_list_text.patch(file.name, before, after_), servers=len(_servers(after))
    )


def _more(file: _File, change: DefinitionChange) -> _Edited:
    if not 1 <= change.count <= COUNT_MOST:
        raise UsageError(f"--count {change.count}", hint=f"Give a number from 1 to {COUNT_MOST}.")
    _refuse_unnamed("--zone", change.zone)
    place, item = file.server(change.like)
    names = _next_names(file.workflow, change.like, change.count)
    piece, zone = file.text[item.begin : item.end], {"zone": change.zone} if change.zone else {}
    copies = [definition_list_text.with_fields(piece, file.name, {"name": one, **zone}) for one in names]
    wanted = [replace(place.config, name=one, zone=change.zone or place.config.zone) for one in names]
    told = DefinitionEdit(str(file.source.file), place.operation.id, added=names, like=change.like, zone=change.zone)
    expected = _with_configs(file.workflow, {change.like: [place.config, *wanted]})
    return _Edited(definition_list_text.with_copies(file.text, item, copies), told, lambda after: after == expected)


def _fewer(file: _File, change: DefinitionChange) -> _Edited:
    names = tuple(dict.fromkeys(change.remove))
    found = [file.server(one) for one in names]
    text = file.text
    for _, item in sorted(found, key=lambda one: -one[1].begin):
        text = definition_list_text.without(text, item)
    told = DefinitionEdit(str(file.source.file), _operations(place for place, _ in found), removed=names)
    expected = _with_configs(file.workflow, {one: [] for one in names})
    return _Edited(text, told, lambda after: after == expected)


def _resized(file: _File, change: DefinitionChange) -> _Edited:
    for plan in change.resize.values():
        _refuse_unnamed("--resize", plan)
    found = [(*file.server(one), plan) for one, plan in change.resize.items()]
    text = file.text
    for _, item, plan in sorted(found, key=lambda one: -one[1].begin):
        piece = definition_list_text.with_fields(text[item.begin : item.end], file.name, {"plan": plan})
        text = text[: item.begin] + piece + text[item.end :]
    told = DefinitionEdit(
        str(file.source.file), _operations(place for place, _, _ in found), resized=dict(change.resize)
    )
    expected = _with_configs(
        file.workflow, {place.config.name: [replace(place.config, plan=plan)] for place, _, plan in found}
    )
    return _Edited(text, told, lambda after: after == expected)


def _installed(file: _File, change: DefinitionChange) -> _Edited:
    """A task service more in an install that is there already, or in one of its own."""
    _refuse_unnamed("--service", change.service)
    use: dict[str, Literal] = {
        "name": change.service,
        **({"variables": dict(change.variables)} if change.variables else {}),
    }
    told = DefinitionEdit(str(file.source.file), "", service=change.service, on=change.on)
    operations = file.workflow.operations
    known = {one.id: number for number, one in enumerate(operations)}
    batch, target = _install_of(file.workflow, change.on)
    if batch is not None:
        number = known[batch.id]
        if any(one.name == change.service for one in batch.taskservs):
            raise UsageError(f"{batch.id} installs {change.service} already", hint=BY_HAND)
        item = file.item(("batch_workflow", "operations", number, "taskservs"), f"taskservs of {batch.id}")
        text = definition_list_text.with_last(file.text, item, definition_list_text.literal(use, file.name))
        grown = replace(batch, taskservs=(*batch.taskservs, TaskservUse(change.service, dict(change.variables))))
        expected = replace(file.workflow, operations=(*operations[:number], grown, *operations[number + 1 :]))
        return _Edited(text, replace(told, operation=batch.id), lambda after: after == expected)
    own = next(one for one in _ids(change.service) if one not in known)
    provider: str = target.operation.provider
    record: dict[str, Literal] = {"id": own, "type": "taskserv_batch", "provider": provider}
    record |= {"dependencies": [target.operation.id]}
    record |= {"targets": [change.on]} if change.on == target.config.name else {}
    record |= {"taskservs": [use]}
    item = file.item(("batch_workflow", "operations", known[target.operation.id]), target.operation.id)
    text = definition_list_text.with_copies(file.text, item, [_entry(file, item, own, record)])

    def is_meant(after: Workflow) -> bool:
        [*new] = [one for one in after.operations if one.id == own]
        rest = replace(after, operations=tuple(one for one in after.operations if one.id != own))
        uses = (TaskservUse(change.service, dict(change.variables)),)
        return rest == file.workflow and [getattr(one, "taskservs", ()) for one in new] == [uses]

    return _Edited(text, replace(told, operation=own), is_meant)


def _install_of(workflow: Workflow, on: str) -> tuple[TaskservBatch | None, _Place]:
    """The install that a word names or that covers just these servers, else None with one of the servers.

    Raises UsageError.
    """
    batches = [one for one in workflow.operations if isinstance(one, TaskservBatch)]
    servers = _servers(workflow)
    places = {place.operation.id: place for place in servers.values()} | servers
    named = next((one for one in batches if one.id == on), None)
    if named is None and on not in places:
        known = [*(one.id for one in batches), *places]
        near = close_matches(on, known, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"The file has: {', '.join(known[:8])}."
        raise UsageError(f"--on {on!r} is no server and no operation of the file", hint=hint)
    if named is not None:
        return named, next(iter(servers.values()))
    place = places[on]
    targets = (on,) if on == place.config.name else None
    for one in batches:
        if one.targets == targets and [edge.id for edge in one.dependencies] == [place.operation.id]:
            return one, place
    return None, place


def _entry(file: _File, item: Item, own: str, record: dict[str, Literal]) -> str:
    """A new operation as it is written behind another one: an item of a list, or a field."""
    text = file.text
    if text[item.begin] in " -":
        indent = re.compile(r" *").match(text, item.begin)
        return f"{indent[0] if indent else ''}- {definition_list_text.literal(record, file.name)}\n"
    joint = text[: item.begin].rstrip()[-1:]
    if joint not in ("=", ":"):
        return definition_list_text.literal(record, file.name)
    bare = {key: value for key, value in record.items() if key != "id"}
    written = definition_list_text.literal(bare, file.name)
    return f"{own} = {written}" if joint == "=" else f'"{own}": {written}'


def _ids(word: str) -> Iterator[str]:
    yield word
    yield from (f"{word}-{number}" for number in range(2, COUNT_MOST))


def _refuse_unnamed(option: str, word: str) -> None:
    if word and not _NAME.fullmatch(word):
        raise UsageError(f"{option} {word!r} is not a name", hint="Write letters, digits, - _ and .")


def _operations(places: Iterator[_Place]) -> str:
    return ", ".join(dict.fromkeys(place.operation.id for place in places))


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


def _next_names(workflow: Workflow, like: str, count: int) -> tuple[str, ...]:
    """The names that follow: after web-02 and web-05 of web-02's kind come web-06 and web-07."""
    tail = _TAIL.match(like)
    stem, width = (tail[1], len(tail[2])) if tail else (f"{like}-", 1)
    taken = [int(one[2]) for name in _servers(workflow) if (one := _TAIL.match(name)) and one[1] == stem]
    first = max(taken, default=1) + 1
    return tuple(f"{stem}{number:0{width}}" for number in range(first, first + count))


def _with_configs(workflow: Workflow, changes: Mapping[str, Sequence[ServerConfig]]) -> Workflow:
    """The workflow with these configurations in place of each server that is named."""
    found = _servers(workflow)
    operations = list(workflow.operations)
    fields = {(place.path[2], str(place.path[3])) for name, place in found.items() if name in changes}
    for number, field in fields:
        assert isinstance(number, int)
        own = getattr(workflow.operations[number], field)
        configs = tuple(new for one in own for new in changes.get(one.name, (one,)))
        operations[number] = replace(operations[number], **{field: configs})  # type: ignore[type-var]
    return replace(workflow, operations=tuple(operations))


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
