"""What became of an environment's servers, task services and commands since a plan was made, and by which run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from batchwright.model.environment import Resource
from batchwright.printable import printable, shortened

SHOWN = 80  # characters of a value
_LONG = frozenset({"user_data", "variables", "env"})  # said without their values, which are long or private


def resource_differences(before: Iterable[Resource], after: Iterable[Resource], suspects: Sequence[str]) -> list[str]:
    """A sentence for each resource that was added, is gone or is another now, in the order of their keys.

    `suspects` are the runs that had a turn in between: a resource that is gone does not say by which run.
    """
    old, new = ({one.key: one for one in resources} for resources in (before, after))
    return [line for key in sorted(old.keys() | new.keys()) for line in _line(old.get(key), new.get(key), suspects)]


def _line(old: Resource | None, new: Resource | None, suspects: Sequence[str]) -> Iterator[str]:
    if new is None:
        assert old is not None
        by = f"; since then these runs changed the environment: {', '.join(suspects)}" if suspects else ""
        yield f"{_name(old)} is gone{by}"
    elif old is None:
        yield f"{_name(new)} was added by run {new.made_by or new.changed_by}"
    elif changes := list(_changes(old, new)):
        yield f"{_name(new)} was changed by run {new.changed_by}: {', '.join(changes)}"


def _name(one: Resource) -> str:
    return f"{one.kind} {one.name} on {one.server}" if one.server else f"{one.kind} {one.name}"


def _changes(old: Resource, new: Resource) -> Iterator[str]:
    for field in ("provider", "account", "ref"):
        yield from _change(field, getattr(old, field), getattr(new, field))
    for field in sorted(old.request.keys() | new.request.keys()):
        yield from _change(field, old.request.get(field), new.request.get(field))
    if old.whole != new.whole:
        yield "its last change was finished" if new.whole else "its last change was not finished"


def _change(field: str, old: Any, new: Any) -> Iterator[str]:
    if old == new:
        return
    if field in _LONG or isinstance(old, Mapping | list) or isinstance(new, Mapping | list):
        yield f"{field} differs"
    else:
        yield f"{field} was {_value(old)}, is {_value(new)}"


def _value(value: Any) -> str:
    return "not set" if value in (None, "") else shortened(printable(str(value)), SHOWN)
