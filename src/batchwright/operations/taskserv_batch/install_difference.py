"""In what an install that the environment has differs from the one that is asked for. Pure, and without a connection.

Compared is what the last run asked for, with what its references stood for. Secrets are compared by their references:
the value behind one is in no journal, so a changed value is no difference.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from batchwright.model.environment import Resource
from batchwright.model.plan import ENTRY, FINISHED, FieldChange
from batchwright.model.scalar import PlainValue
from batchwright.model.secret_reference import SecretReference
from batchwright.model.templates import Value, Values
from batchwright.operations.taskserv_batch.structs import TaskservRequest, filled_variable, named_in

DIGEST_SHOWN = 12  # characters of a digest
ADDRESS = "server.address"


T = TypeVar("T")
Known = Callable[[str], Value | None]  # what a reference stands for, as far as planning knows


def install_changes(
    one: Resource, wanted: TaskservRequest, address: str, known: Known = lambda _name: None
) -> tuple[FieldChange, ...]:
    """All differences; none: there is nothing to do. `address` is the server's as it will be, "" if that is not known.

    An install of which it is not known which catalogue entry was used is a different one.
    """
    return tuple(_changes(one, wanted, address, known))


def _changes(one: Resource, wanted: TaskservRequest, address: str, known: Known) -> Iterator[FieldChange]:
    before = one.request
    if not one.whole:
        yield FieldChange(FINISHED, "no", "yes")
    for name in ("version", "variant"):
        if before.get(name) != getattr(wanted, name):
            yield FieldChange(name, before.get(name), getattr(wanted, name))
    if not before.get("digest") or before["digest"] != wanted.digest:
        yield FieldChange(ENTRY, before.get("digest", "")[:DIGEST_SHOWN] or None, wanted.digest[:DIGEST_SHOWN] or None)
    old, new = before.get("sources", {}), wanted.sources
    sources = old.keys() & new.keys()  # their content counts, and not where it is
    had = msgspec.convert(before.get("values", {}), dict[str, Value])
    variables = _without(before.get("variables", {}), sources)
    yield from _variables(variables, _without(wanted.variables, sources), had, known)
    for name in sorted(sources):
        if old[name] != new[name]:
            was, now = (f"content {one[name][:DIGEST_SHOWN]}" for one in (old, new))
            yield FieldChange(f"variables.{name}", was, now)
    yield from _cluster(before.get("cluster") or {}, msgspec.to_builtins(wanted.cluster) or {})
    if one.address != address and (wanted.cluster is not None or names_address(wanted)):
        yield FieldChange("server.address", one.address or None, address or None, known=address != "")


def _without(values: Mapping[str, T], names: Collection[str]) -> dict[str, T]:
    return {name: value for name, value in values.items() if name not in names}


def _variables(
    before: Mapping[str, Any], wanted: Mapping[str, PlainValue | SecretReference], had: Values, known: Known
) -> Iterator[FieldChange]:
    """Of a reference, what it stood for is compared with what it stands for; if that is not known, it may change."""
    for name in sorted(before.keys() | wanted.keys()):
        old, value = before.get(name), wanted.get(name)
        new = msgspec.to_builtins(value)
        if value is None or isinstance(value, SecretReference):
            if not _same(old, new):
                yield FieldChange(f"variables.{name}", _text(old), _text(new))
            continue
        found = {one.path: known(one.path) for one in named_in(value) if not one.is_own}
        now = {path: one for path, one in found.items() if one is not None}
        if _same(old, new) and now == {path: had.get(path) for path in found}:
            continue
        is_secret = isinstance(old, dict)
        was = old if is_secret or old is None else _applied(old, had)
        told = now if len(now) == len(found) else {}
        yield FieldChange(f"variables.{name}", _text(was), _text(_applied(new, told)), known=told == found)


def _applied(value: Any, values: Values) -> Any:
    """The value of a variable with what is known, and a template where something is not."""
    return filled_variable(tuple(value) if isinstance(value, list) else value, values) if values else value


def _same(old: Any, new: Any) -> bool:
    if isinstance(old, list | tuple) and isinstance(new, list | tuple):
        return len(old) == len(new) and all(map(_same, old, new))
    return old == new and isinstance(old, bool) is isinstance(new, bool)  # 1 == True


def _text(value: Any) -> str | None:
    """A value as text; a secret is named by where it is found."""
    if isinstance(value, list | tuple):
        return ", ".join(str(_text(one)) for one in value)
    if isinstance(value, dict):
        return str(msgspec.convert(value, SecretReference))
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)


def _cluster(before: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[FieldChange]:
    """The leader by the name of its server: the operation that makes it may have been renamed."""
    for name in ("leader", "number", "size"):
        old, new = (str(one[name]).rpartition("/")[2] if name in one else None for one in (before, wanted))
        if old != new:
            yield FieldChange(f"cluster.{name}", old, new)


def names_address(request: TaskservRequest) -> bool:
    """Whether one of its variables is about the address of its server."""
    return any(one.path == ADDRESS for value in request.variables.values() for one in named_in(value))
