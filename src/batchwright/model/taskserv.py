"""What the catalogue says about a task service, as far as planning and `taskservs show` need it."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from msgspec import Struct

from batchwright.model.scalar import Scalar
from batchwright.model.secret_reference import SecretReference
from batchwright.model.templates import filled, references


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
    SECRET = "secret"  # noqa: S105 - named by the workflow, found at the moment of use


class Variable(Struct, frozen=True, forbid_unknown_fields=True):
    """A setting of a task service. Without a `default` a workflow must give it, unless it is `optional`.

    `values` are those of an enum, `least` and `most` the bounds of a number. `pattern` is what the whole of a string or
    secret must match, `means` says it in words; a string without one is a line of printable characters. A text may hold
    `${server.address}` and `${server.name}`: those of the server that the task service goes on, filled in when it is
    installed.
    """

    type: VariableType
    summary: str
    default: Scalar | None = None
    optional: bool = False
    values: tuple[str, ...] = ()
    pattern: str = ""
    means: str = ""
    least: int | None = None
    most: int | None = None

    def wanted(self, value: Scalar | SecretReference) -> str | None:
        """None if the value is valid, else a description of a valid one."""
        if isinstance(value, str):
            known = {"server.address": "192.0.2.1", "server.name": "server"}
            if any(one.written[2:-1] not in known for one in references(value, script=True) if one.root == "server"):
                return "${server.address} or ${server.name} where it is about its server"
            value = filled(value, known)
        return None if self._accepts(value) else self.described()

    def settled(self, value: Scalar | SecretReference) -> Scalar | SecretReference:
        """The normal form of a valid value: a duration is in seconds."""
        seconds = (
            seconds_of(value) if self.type is VariableType.DURATION and not isinstance(value, SecretReference) else None
        )
        return value if seconds is None else seconds

    def revealed(self, secret: str) -> str | None:
        """None if a secret's value is valid, else a description of a valid one, which never contains the secret."""
        return None if not self.pattern or re.fullmatch(self.pattern, secret) else self.means

    def described(self) -> str:
        """The kind of value in words."""
        if self.type is VariableType.ENUM:
            return "one of " + ", ".join(f'"{one}"' for one in self.values)
        words = _WORDS[self.type]
        if self.means:
            words = f"{words}: {self.means}" if self.type is VariableType.SECRET else self.means
        bounds = (("from", self.least), ("to", self.most))
        return words + "".join(f" {word} {bound}" for word, bound in bounds if bound is not None)

    def _is_within(self, value: float) -> bool:
        return (
            math.isfinite(value)
            and (self.least is None or value >= self.least)
            and (self.most is None or value <= self.most)
        )

    def _accepts(self, value: Scalar | SecretReference) -> bool:
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
                return not isinstance(value, SecretReference) and seconds_of(value) is not None
            case VariableType.SECRET:
                return isinstance(value, SecretReference)
            case VariableType.STRING:
                if self.pattern:
                    return isinstance(value, str) and re.fullmatch(self.pattern, value) is not None
                return isinstance(value, str) and value.isprintable()


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


class ServerRequirements(Struct, frozen=True, forbid_unknown_fields=True):
    """What a server must offer. `memory_mb` and `cpus` are compared if the provider says what a plan has."""

    init: bool = False  # a service manager
    privileged: bool = False  # containers can run on it
    own_network: bool = False
    memory_mb: int = 0
    cpus: int = 0


class Variant(Struct, frozen=True, forbid_unknown_fields=True):
    """What differs on one provider: other defaults."""

    variables: dict[str, Scalar] = {}


class Scope(StrEnum):
    """Whether an install knows only its own server, or joins the servers of its operation together."""

    SERVER = "server"
    CLUSTER = "cluster"  # the first server leads: it is installed first, the others get its address


class Platform(Struct, frozen=True, forbid_unknown_fields=True):
    """An operating system that it can be installed on, with names from /etc/os-release; no `release`: any."""

    os: str
    release: tuple[str, ...] = ()

    def covers(self, os: str, release: str) -> bool:
        """Whether it includes a server with this system; an unknown release may be included."""
        return os == self.os and (not self.release or not release or release in self.release)

    def __str__(self) -> str:
        return " ".join([self.os, " or ".join(self.release)]).strip()


class Check(Struct, frozen=True, forbid_unknown_fields=True):
    """A shell script that exits with 0 if all is well; the variables are in its environment. Times are in seconds."""

    name: str
    run: str
    retries: int = 5
    every: float = 1.0
    timeout: float = 10.0


class Moment(StrEnum):
    """What the other servers are about to do when the leader's script runs."""

    INSTALL = "install"
    REMOVE = "remove"


class Output(Struct, frozen=True, forbid_unknown_fields=True):
    """A value that the leader of a cluster gives to the other servers: printed by the script `run` when it is needed.

    It is passed from server to server and stored nowhere. A leader that cannot print it does not prevent a removal.
    """

    run: str
    secret: bool = True
    when: Moment = Moment.INSTALL


class Timeouts(Struct, frozen=True, forbid_unknown_fields=True):
    """Time limits in seconds; the operation's own `timeout` applies too."""

    install: float = 1800.0
    remove: float = 600.0


class Tested(StrEnum):
    """What the author has seen it do, for people who choose a task service."""

    UNKNOWN = ""  # it does not say
    REAL = "real"  # installed, checked and removed on servers
    STUBS = "stubs"  # the same, with packages that only note how they are called


class Taskserv(Struct, frozen=True, forbid_unknown_fields=True):
    """One catalogue entry. `provides`, `requires`, `after` and `conflicts` hold names of entries or virtual names.

    `requires` is brought along and comes first; `after` is order only, where both are wanted. `conflicts` may name
    what the entry itself provides: then nothing else that provides it goes on the same server.
    """

    name: str
    version: str
    summary: str
    seconds: float  # what an install usually takes, for estimates only
    provides: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    needs: ServerRequirements = ServerRequirements()
    variables: dict[str, Variable] = {}
    variants: dict[str, Variant] = {}  # by provider
    scope: Scope = Scope.SERVER
    platforms: tuple[Platform, ...] = ()
    check: tuple[Check, ...] = ()
    outputs: dict[str, Output] = {}
    timeouts: Timeouts = Timeouts()
    present: str = ""  # a shell script that ends with 0 if it is on the server, however it was installed
    remove_before_destroy: bool = False  # a rollback uninstalls it even when its server is destroyed next
    tested: Tested = Tested.UNKNOWN
    digest: str = ""  # of all files of its folder, set by who reads it: what was planned is what is installed

    def defaults(self, provider: str) -> dict[str, Scalar]:
        """The variables' defaults on this provider."""
        general = {name: each.default for name, each in self.variables.items() if each.default is not None}
        variant = self.variants.get(provider)
        return {**general, **variant.variables} if variant else general


@dataclass(frozen=True, eq=False)
class LazyCatalogue(Mapping[str, Taskserv]):
    """A catalogue that `read` loads on first use; that use raises what `read` raises."""

    read: Callable[[], Mapping[str, Taskserv]]

    @cached_property
    def _entries(self) -> Mapping[str, Taskserv]:
        return self.read()

    def __getitem__(self, name: str) -> Taskserv:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def by_provided_name(entries: Mapping[str, Taskserv]) -> dict[str, tuple[str, ...]]:
    """Each name and virtual name -> the entries that provide it, sorted."""
    found: dict[str, set[str]] = {}
    for entry in entries.values():
        for name in (entry.name, *entry.provides):
            found.setdefault(name, set()).add(entry.name)
    return {name: tuple(sorted(names)) for name, names in found.items()}


def conflict_between(first: Taskserv, second: Taskserv) -> str | None:
    """The name over which two different entries cannot share a server, if there is one."""
    return _refused(first.conflicts, second) or _refused(second.conflicts, first)


def _refused(conflicts: Iterable[str], other: Taskserv) -> str | None:
    return next((name for name in conflicts if name == other.name or name in other.provides), None)
