"""What became of an environment's servers, task services and commands since a plan was made, and by which run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from batchwright.model.environment import Resource
from batchwright.printable import printable, shortened
from batchwright.views.text_format import some

SHOWN = 80  # characters of a value
_PRIVATE = frozenset({"user_data"})


def resource_differences(before: Iterable[Resource], after: Iterable[Resource], suspects: Sequence[str]) -> list[str]:
    """A sentence for each thing that happened: resources added, gone or changed alike by one run stand in one.

    `suspects` are the runs that had a turn in between: a resource that is gone does not say by which run.
    """
    old, new = ({one.key: one for one in resources} for resources in (before, after))
    since = f"; since then these runs changed the environment: {', '.join(suspects)}" if suspects else ""
    groups: dict[tuple[str, str, str], list[Resource]] = {}
    for key in sorted(old.keys() | new.keys()):
        if key not in new:
            groups.setdefault((old[key].kind, "gone", since), []).append(old[key])
        elif key not in old:
            run = new[key].made_by or new[key].changed_by
            groups.setdefault((new[key].kind, "added", f" by run {run}"), []).append(new[key])
        elif changes := ", ".join(_changes(old[key], new[key])):
            tail = f" by run {new[key].changed_by}: {changes}"
            groups.setdefault((new[key].kind, "changed", tail), []).append(new[key])
    return [_line(members, what, tail) for (_, what, tail), members in groups.items()]


def _line(members: Sequence[Resource], what: str, tail: str) -> str:
    names = some([_name(one) for one in members])
    verb = ("is" if len(members) == 1 else "are") if what == "gone" else "was" if len(members) == 1 else "were"
    return f"{members[0].kind} {names} {verb} {what}{tail}"


def _name(one: Resource) -> str:
    return f"{one.name} on {one.server}" if one.server else one.name


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
    if isinstance(old or {}, Mapping) and isinstance(new or {}, Mapping):
        keys = {**(old or {}), **(new or {})}
        yield f"other {field} ({some([key for key in sorted(keys) if (old or {}).get(key) != (new or {}).get(key)])})"
    elif field in _PRIVATE or isinstance(old, list) or isinstance(new, list):
        yield f"other {field}"
    else:
        yield f"{field} was {_value(old)}, is {_value(new)}"


def _value(value: Any) -> str:
    return "not set" if value in (None, "") else shortened(printable(str(value)), SHOWN)
