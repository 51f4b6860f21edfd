"""How a store keeps environments: a row for each, and one for each of its resources, as JSON with a digest."""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import msgspec

from batchwright.errors import StoreCorrupt
from batchwright.journal.base import Turn
from batchwright.model.environment import Environment, EnvironmentKey, Resource, entered, left

_environment = msgspec.json.Decoder(Environment)
_resource = msgspec.json.Decoder(Resource)


class TurnWrite(NamedTuple):
    """What a turn writes: the environment's row, resources that changed, keys of those that are gone."""

    environment: Environment
    changed: tuple[Resource, ...]
    gone: tuple[str, ...]


class Row(NamedTuple):
    """A row as it is stored."""

    body: bytes
    digest: bytes


def turned(turn: Turn, found: Environment | None) -> TurnWrite:
    """What the turn writes over the row that was found. Raises EnvironmentRefused."""
    changed: tuple[Resource, ...] = ()
    gone: tuple[str, ...] = ()
    if turn.enter is not None:
        changed = turn.enter.resources or () if found is None else ()
        found = entered(found, turn.enter)
    if turn.leave is not None:
        changed, gone = (*changed, *turn.leave.changed), turn.leave.gone
        found = left(found, turn.leave)
    assert found is not None
    return TurnWrite(found, changed, gone)


def environment_row(row: Environment) -> Row:
    """The row to store."""
    return _row("environment", row.space, row.name, msgspec.json.encode(row))


def resource_row(key: EnvironmentKey, one: Resource) -> Row:
    """The row to store."""
    return _row("resource", *_place(key, one.key), msgspec.json.encode(one, order="deterministic"))


def environment_of(key: EnvironmentKey, row: Row) -> Environment:
    """The environment in a row. Raises StoreCorrupt."""
    found: Environment = _decoded(_environment, ("environment", key.space, key.name), row)
    return found


def resource_of(key: EnvironmentKey, name: str, row: Row) -> Resource:
    """The resource in a row. Raises StoreCorrupt."""
    found: Resource = _decoded(_resource, ("resource", *_place(key, name)), row)
    return found


def _place(key: EnvironmentKey, name: str) -> tuple[str, str]:
    return key.space, f"{key.name}\n{name}"


def _row(kind: str, space: str, name: str, body: bytes) -> Row:
    head = "\0".join((kind, space, name)).encode()
    return Row(body, hashlib.sha256(len(head).to_bytes(8, "big") + head + body).digest())


def _decoded(decoder: msgspec.json.Decoder[Any], place: tuple[str, str, str], row: Row) -> Any:
    if _row(*place, row.body) != row:
        raise StoreCorrupt(f"what the store keeps about the environment {place[2].partition(chr(10))[0]} is damaged")
    try:
        return decoder.decode(row.body)
    except msgspec.MsgspecError as error:
        raise StoreCorrupt(f"a row of the environment {place[2]} cannot be read: {error}") from error
