"""How a store keeps environments: a row for each, and one for each of its resources, as JSON with a digest."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from batchwright.errors import EnvironmentMoved, StoreCorrupt
from batchwright.journal.base import Turn
from batchwright.model.environment import Environment, EnvironmentKey, Resource, entered, left, lent

_environment = msgspec.json.Decoder(Environment)
_resource = msgspec.json.Decoder(Resource)
_resources = msgspec.json.Decoder(list[Resource])


class EnvironmentWrite(NamedTuple):
    """What is written of an environment: its row, resources that changed, keys of those that are gone.

    `base` are its resources at its base, encoded; None leaves them as they are.
    """

    environment: Environment
    changed: tuple[Resource, ...]
    gone: tuple[str, ...]
    base: bytes | None = None


class Row(NamedTuple):
    """A row as it is stored."""

    body: bytes
    digest: bytes


def turned(turn: Turn | None, find: Callable[[EnvironmentKey], Environment | None]) -> list[EnvironmentWrite]:
    """What the turn writes over the rows that are there: of its environment, and of those whose servers it uses.

    Raises EnvironmentRefused.
    """
    if turn is None:
        return []
    lending = [EnvironmentWrite(lent(find(one.key), one), (), ()) for one in turn.lenders]
    return [_own(turn, find(turn.key)), *lending]


def _own(turn: Turn, found: Environment | None) -> EnvironmentWrite:
    changed: tuple[Resource, ...] = ()
    gone: tuple[str, ...] = ()
    if turn.enter is not None:
        changed = turn.enter.resources or () if found is None else ()
        found = entered(found, turn.enter)
    if turn.leave is not None:
        changed, gone = (*changed, *turn.leave.changed), turn.leave.gone
        found = left(found, turn.leave)
    assert found is not None
    return EnvironmentWrite(found, changed, gone)


def replaced(
    row: Environment,
    resources: Sequence[Resource] | None,
    before: Sequence[Resource],
    base: Sequence[Resource] | None = None,
) -> EnvironmentWrite:
    """What replaces an environment's row and, unless None, the resources it had before and those at its base."""
    body = None if base is None else _base_body(base)
    if resources is None:
        return EnvironmentWrite(row, (), (), body)
    had, has = {one.key: one for one in before}, {one.key: one for one in resources}
    changed = tuple(one for key, one in has.items() if had.get(key) != one)
    return EnvironmentWrite(row, changed, tuple(key for key in had if key not in has), body)


def base_digest(base: Sequence[Resource]) -> str:
    """The digest of the resources at a base, which the environment's row holds."""
    return hashlib.sha256(_base_body(base)).hexdigest()


def base_of(row: Environment, body: bytes | None) -> list[Resource]:
    """The resources at the environment's base. Raises StoreCorrupt if they are not those of the row's digest."""
    if body is None or hashlib.sha256(body).hexdigest() != row.base_digest:
        raise StoreCorrupt(f"what the environment {row.name} had at turn {row.base} is damaged or missing")
    return _resources.decode(body)


def _base_body(base: Sequence[Resource]) -> bytes:
    return msgspec.json.encode(sorted(base, key=lambda one: one.key), order="deterministic")


def refuse_unseen(seen: Environment | None, found: Environment | None, row: Environment) -> None:
    """Raise EnvironmentMoved if the row that was found is not the one that was seen."""
    if found != seen:
        raise EnvironmentMoved(f"another process changed the environment {row.name} at this moment")


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
