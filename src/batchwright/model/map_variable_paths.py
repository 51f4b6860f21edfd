"""The names of values inside variables of type map: `environment[PORT]`, `files[/etc/motd].mode`. Pure.

A workflow file has such a variable as a record. A request has a value for each of these names instead, so that each is
compared, filled in and kept secret like any other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from msgspec import Struct

_NAME = re.compile(r"(?P<variable>[^\[]*)\[(?P<key>.*)\](?:\.(?P<field>[a-z][a-z0-9_]*))?", re.DOTALL)


class ValueName(Struct, frozen=True):
    """A variable; the key of an element if it is a map; the field of the element if that is a record.

    >>> ValueName.parse("files[/etc/motd].mode")
    ValueName(variable='files', key='/etc/motd', field='mode')
    >>> str(ValueName("environment", "PORT"))
    'environment[PORT]'
    """

    variable: str
    key: str | None = None
    field: str = ""

    @classmethod
    def parse(cls, name: str) -> ValueName:
        """From its text."""
        found = _NAME.fullmatch(name)
        return cls(found["variable"], found["key"], found["field"] or "") if found else cls(name)

    def __str__(self) -> str:
        if self.key is None:
            return self.variable
        return f"{self.variable}[{self.key}]" + (f".{self.field}" if self.field else "")

    @property
    def path(self) -> tuple[str, ...]:
        """Where it stands in the variables of a workflow file."""
        return tuple(part for part in (self.variable, self.key, self.field or None) if part is not None)


def flattened(variables: Mapping[str, Any], is_map: Callable[[tuple[str, ...], Any], bool]) -> dict[str, Any]:
    """Each value by its name. `is_map` says of a path and its value whether that is a map or a record.

    >>> flattened({"port": 80, "environment": {"HOME": "/srv"}}, lambda path, value: isinstance(value, dict))
    {'port': 80, 'environment[HOME]': '/srv'}
    """
    found: dict[str, Any] = {}
    for variable, value in variables.items():
        if not is_map((variable,), value):
            found[variable] = value
            continue
        for key, part in value.items():
            if is_map((variable, key), part):
                found |= {str(ValueName(variable, key, field)): one for field, one in part.items()}
            else:
                found[str(ValueName(variable, key))] = part
    return found


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """The opposite: the variables as a workflow file has them."""
    found: dict[str, Any] = {}
    for text, value in values.items():
        *outer, last = ValueName.parse(text).path
        inner = found
        for part in outer:
            inner = inner.setdefault(part, {})
        inner[last] = value
    return found


def keys(values: Iterable[str], variable: str) -> tuple[str, ...]:
    """The keys that a map has among the names of these values, each once."""
    names = map(ValueName.parse, values)
    return tuple(dict.fromkeys(one.key for one in names if one.variable == variable and one.key is not None))
