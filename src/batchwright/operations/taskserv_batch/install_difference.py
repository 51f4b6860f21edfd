"""In what an install that the environment has differs from the one that is asked for. Pure, and without a connection.

Compared is what the last run asked for. Secrets are compared by their references: the value behind one is in no
journal, so a changed value is no difference.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import msgspec

from batchwright.model.environment import Resource
from batchwright.model.plan import ENTRY, FINISHED, FieldChange
from batchwright.model.secret_reference import SecretReference
from batchwright.model.templates import references
from batchwright.operations.taskserv_batch.structs import TaskservRequest

DIGEST_SHOWN = 12  # characters of a digest
ADDRESS = "${server.address}"


def install_changes(one: Resource, wanted: TaskservRequest, address: str) -> tuple[FieldChange, ...]:
    """All differences; none: there is nothing to do. `address` is the server's as it will be, "" if that is not known.

    An install of which it is not known which catalogue entry was used is a different one.
    """
    return tuple(_changes(one, wanted, address))


def _changes(one: Resource, wanted: TaskservRequest, address: str) -> Iterator[FieldChange]:
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
    variables = msgspec.to_builtins(wanted.variables)
    yield from _variables(_without(before.get("variables", {}), sources), _without(variables, sources))
    for name in sorted(sources):
        if old[name] != new[name]:
            was, now = (f"content {one[name][:DIGEST_SHOWN]}" for one in (old, new))
            yield FieldChange(f"variables.{name}", was, now)
    yield from _cluster(before.get("cluster") or {}, msgspec.to_builtins(wanted.cluster) or {})
    if one.address != address and (wanted.cluster is not None or names_address(wanted)):
        yield FieldChange("server.address", one.address or None, address or None, known=address != "")


def _without(values: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


def _variables(before: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[FieldChange]:
    for name in sorted(before.keys() | wanted.keys()):
        old, new = before.get(name), wanted.get(name)
        if not _same(old, new):
            yield FieldChange(f"variables.{name}", _text(old), _text(new))


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
    texts = [one for value in request.variables.values() for one in (value if isinstance(value, tuple) else (value,))]
    return any(
        one.written == ADDRESS for text in texts if isinstance(text, str) for one in references(text, script=True)
    )
