"""The variables of task services: what kind of value each takes, and which values are valid."""

from __future__ import annotations

import ipaddress
import math
import re
from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import replace

from batchwright.model.scalar import PlainValue, Scalar
from batchwright.model.secret_reference import SecretReference
from batchwright.model.templates import Reference, Root, alone, filled, references


class VariableType(StrEnum):
    """What kind of value a variable takes."""

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    ENUM = "enum"
    PORT = "port"
    CIDR = "cidr"
    ADDRESS = "address"
    URL = "url"
    DURATION = "duration"
    LIST = "list"
    MAP = "map"
    SOURCE = "source"
    FILE = "file"
    SECRET = "secret"  # noqa: S105 - named by the workflow, found at the moment of use


class Variable(Struct, frozen=True, forbid_unknown_fields=True):
    """A setting of a task service. Without a `default` a workflow must give it, unless it is `optional`.

    `values` are those of an enum, `least` and `most` the bounds of a number. `pattern` is what the whole of a string or
    secret must match, `means` says it in words; a string without one is a line of printable characters. `of` is the
    type of each element of a list or a map, for which the other fields then hold. The keys of a map match `keys`, and
    `keys_mean` says that in words; with `fields` its elements are records, which have exactly one of the fields in
    `one_of`. `secret`: a string that may also be a secret.
    """

    type: Annotated[VariableType, Meta(description="what kind of value it takes")]
    summary: Annotated[str, Meta(description="one line for lists")]
    default: Annotated[PlainValue | None, Meta(description="the value if a workflow gives none")] = None
    optional: Annotated[
        bool, Meta(description="whether it may be missing; without it and without a default, it is required")
    ] = False
    of: Annotated[
        VariableType,
        Meta(description="the type of each element of a list or a map, for which the other fields then hold"),
    ] = VariableType.STRING
    keys: Annotated[str, Meta(description="a regular expression that the whole of each key of a map matches")] = ""
    keys_mean: Annotated[str, Meta(description="`keys` in words")] = ""
    fields: Annotated[dict[str, Variable], Meta(description="the fields of a map's elements, each a variable")] = {}
    one_of: Annotated[tuple[str, ...], Meta(description="fields of which exactly one is given")] = ()
    secret: Annotated[bool, Meta(description="whether a string may also be a secret")] = False
    values: Annotated[tuple[str, ...], Meta(description="those of an enum")] = ()
    pattern: Annotated[str, Meta(description="a regular expression that the whole string or secret matches")] = ""
    means: Annotated[str, Meta(description="`pattern` in words")] = ""
    least: Annotated[int | None, Meta(description="the least number")] = None
    most: Annotated[int | None, Meta(description="the greatest number")] = None

    @property
    def element(self) -> Variable:
        """What each element of a list or a map is."""
        return replace(self, type=self.of, default=None)

    def part(self, key: str, field: str) -> Variable | None:
        """What an element of a map is, or a field of it; None if there is no such element or field."""
        if self.type is not VariableType.MAP or (self.keys and not re.fullmatch(self.keys, key)):
            return None
        return self.fields.get(field) if self.fields else None if field else self.element

    def wanted(self, value: PlainValue | SecretReference) -> str | None:
        """None if a value of a workflow file is valid, else a description of a valid one.

        In a text, what a reference stands for is taken to be right where nothing is known of it.
        """
        if self.type is VariableType.LIST and isinstance(value, str):
            whole = alone(value)
            return None if whole is not None and whole.is_list else self.described()
        if self.type is VariableType.LIST and isinstance(value, tuple):
            return self.described() if any(self.element.wanted(one) for one in value) else None
        if not isinstance(value, str):
            return self.lacks(value)
        if self.type in _READ:  # from what a command gives
            whole = alone(value)
            return None if whole is not None and whole.root is Root.OUTPUTS else self.described()
        named = {one: _sample(one) for one in references(value)}
        if None in named.values():
            return None if self.type in _TEXTS else self.described()
        return self.lacks(filled(value, {one.path: sample or "" for one, sample in named.items()}))

    def lacks(self, value: PlainValue | SecretReference) -> str | None:
        """None if a value without references is valid, else a description of a valid one."""
        if self.type is VariableType.LIST:
            fits = isinstance(value, tuple) and not any(self.element.lacks(one) for one in value)
            return None if fits else self.described()
        return None if self._accepts(value) else self.described()

    def settled(self, value: PlainValue | SecretReference) -> PlainValue | SecretReference:
        """The normal form of a valid value: a duration is in seconds."""
        if isinstance(value, tuple):
            return tuple(one if self.of is not VariableType.DURATION else seconds_of(one) or one for one in value)
        if self.type is not VariableType.DURATION or isinstance(value, SecretReference):
            return value
        return seconds_of(value) or value

    def read(self, value: PlainValue) -> PlainValue:
        """A text that a command gave as a value of this type; anything else, and what cannot be read so, as it is."""
        if isinstance(value, tuple):
            return tuple(self.element._read(one) for one in value)
        return self._read(value)

    def _read(self, text: Scalar) -> Scalar:
        if not isinstance(text, str):
            return text
        if self.type is VariableType.BOOLEAN:
            return {"true": True, "false": False}.get(text, text)
        if self.type is VariableType.DURATION:
            return seconds_of(text) or text
        if self.type in _READ and _NUMBER.fullmatch(text):
            return int(text) if "." not in text else float(text)
        return text

    def revealed(self, secret: str) -> str | None:
        """None if a secret's value is valid, else a description of a valid one, which never contains the secret."""
        return None if not self.pattern or re.fullmatch(self.pattern, secret) else self.means

    def described(self) -> str:
        """The kind of value in words."""
        if self.type is VariableType.LIST:
            return f"a list, each element {self.element.described()}"
        if self.type is VariableType.MAP:
            inner = f"a record of {', '.join(self.fields)}" if self.fields else self.element.described()
            return f"a record: for {self.keys_mean or 'each name'} {inner}"
        if self.type is VariableType.ENUM:
            return "one of " + ", ".join(f'"{one}"' for one in self.values)
        words = _WORDS[self.type]
        if self.means:
            words = f"{words}: {self.means}" if self.type is VariableType.SECRET else self.means
        if self.secret:
            words += ", or a secret by reference"
        bounds = (("from", self.least), ("to", self.most))
        return words + "".join(f" {word} {bound}" for word, bound in bounds if bound is not None)

    def _is_within(self, value: float) -> bool:
        return (
            math.isfinite(value)
            and (self.least is None or value >= self.least)
            and (self.most is None or value <= self.most)
        )

    def _accepts(self, value: PlainValue | SecretReference) -> bool:
        number = isinstance(value, int | float) and not isinstance(value, bool) and self._is_within(value)
        match self.type:
            case VariableType.BOOLEAN:
                return isinstance(value, bool)
            case VariableType.NUMBER:
                return number
            case VariableType.INTEGER:
                return number and isinstance(value, int)
            case VariableType.PORT:
                return number and isinstance(value, int) and 1 <= value <= 65535
            case VariableType.ENUM:
                return value in self.values
            case VariableType.CIDR:
                return isinstance(value, str) and _is_cidr(value)
            case VariableType.ADDRESS:
                return isinstance(value, str) and _is_address(value)
            case VariableType.URL:
                return isinstance(value, str) and _URL.fullmatch(value) is not None
            case VariableType.DURATION:
                return isinstance(value, str | int | float) and seconds_of(value) is not None
            case VariableType.SECRET:
                return isinstance(value, SecretReference)
            case VariableType.STRING:
                if isinstance(value, SecretReference):
                    return self.secret
                if self.pattern:
                    return isinstance(value, str) and re.fullmatch(self.pattern, value) is not None
                return isinstance(value, str) and value.isprintable()
            case VariableType.SOURCE | VariableType.FILE:
                return isinstance(value, str) and value.isprintable() and value != ""
            case VariableType.LIST | VariableType.MAP:
                return False  # each element is looked at by itself


_NUMBER = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,15})?")
_READ = (VariableType.INTEGER, VariableType.NUMBER, VariableType.BOOLEAN, VariableType.PORT)
_TEXTS = frozenset(VariableType) - {
    *_READ,
    *(VariableType.LIST, VariableType.MAP, VariableType.SECRET, VariableType.SOURCE, VariableType.FILE),
}


def _sample(reference: Reference) -> str | None:
    """What a reference may stand for; None if that may be any text."""
    if reference.root in (Root.SERVER, Root.SERVERS, Root.OPERATIONS):
        return {"address": "192.0.2.1", "addresses": "192.0.2.1", "name": "server", "names": "server"}.get(
            reference.segments[-1]
        )
    return None


_WORDS = {
    VariableType.STRING: "a string without line ends and other control characters",
    VariableType.INTEGER: "a whole number",
    VariableType.NUMBER: "a number",
    VariableType.BOOLEAN: "true or false",
    VariableType.PORT: "a port from 1 to 65535",
    VariableType.CIDR: 'a network such as "10.244.0.0/16"',
    VariableType.ADDRESS: 'an IP address such as "10.0.0.5"',
    VariableType.URL: 'an address such as "https://example.org/path" or "file:/path"',
    VariableType.DURATION: 'a duration above 0: seconds as a number, or a text like "30s", "10m", "1h"',
    VariableType.SOURCE: "the path of a folder, an archive or a file, relative to the workflow file",
    VariableType.FILE: "the path of a file, relative to the workflow file",
    VariableType.SECRET: 'a secret by reference, such as { env = "NAME" }',
}


# The characters of RFC 3986: none of them ends a line, a word or what is between double quotes.
_URL = re.compile(r"(https?://[A-Za-z0-9._~!$&'()*+,;=:@%\[\]-]+|file:/)[A-Za-z0-9._~!$&'()*+,;=:@%/?#\[\]-]*")
_ZONE = re.compile(r"[0-9A-Za-z_.-]{1,15}")  # of an IPv6 address: the name of a network interface
_DURATION = re.compile(r"(?P<number>[0-9]{1,9}(?:\.[0-9]{1,3})?)(?P<unit>[smh])")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def seconds_of(value: Scalar) -> float | None:
    """A duration in seconds; None if the value is not a duration."""
    if isinstance(value, str):
        found = _DURATION.fullmatch(value)
        value = float(found["number"]) * _SECONDS[found["unit"]] if found else 0.0
    return float(value) if not isinstance(value, bool) and value > 0 else None


def _is_address(value: str) -> bool:
    try:
        zone = getattr(ipaddress.ip_address(value), "scope_id", None)
    except ValueError:
        return False
    return zone is None or _ZONE.fullmatch(zone) is not None


def _is_cidr(value: str) -> bool:
    try:
        ipaddress.ip_network(value)
    except ValueError:
        return False
    return "/" in value and "%" not in value
