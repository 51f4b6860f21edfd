"""What the catalogue says about a task service, as far as planning and `taskservs show` need it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any

from msgspec import Meta, Struct

from batchwright.model.map_variable_paths import ValueName, flattened
from batchwright.model.scalar import PlainValue
from batchwright.model.taskserv_variable import Variable, VariableType


class ServerRequirements(Struct, frozen=True, forbid_unknown_fields=True):
    """What a server must offer. `memory_mb` and `cpus` are compared if the provider says what a plan has."""

    init: Annotated[bool, Meta(description="a service manager")] = False
    privileged: Annotated[bool, Meta(description="containers can run on it")] = False
    own_network: Annotated[bool, Meta(description="a network of its own: no port is shared with other servers")] = False
    memory_mb: Annotated[
        int, Meta(description="megabytes of memory, compared where the provider says what a plan has")
    ] = 0
    cpus: Annotated[int, Meta(description="processors, likewise")] = 0


class Variant(Struct, frozen=True, forbid_unknown_fields=True):
    """What differs on one provider: other defaults."""

    variables: Annotated[
        dict[str, PlainValue], Meta(description="defaults that hold on this provider, by variable")
    ] = {}


class Scope(StrEnum):
    """Whether an install knows only its own server, or joins the servers of its operation together."""

    SERVER = "server"
    CLUSTER = "cluster"  # the first server leads: it is installed first, the others get its address


class Platform(Struct, frozen=True, forbid_unknown_fields=True):
    """An operating system that it can be installed on, with names from /etc/os-release; no `release`: any.

    `version` is what is installed there, if that is not the entry's.
    """

    os: Annotated[str, Meta(description="ID in /etc/os-release")]
    release: Annotated[tuple[str, ...], Meta(description="values of VERSION_ID there; none: any")] = ()
    version: Annotated[str, Meta(description="what is installed there, if that is not the entry's `version`")] = ""

    def covers(self, os: str, release: str) -> bool:
        """Whether it includes a server with this system; an unknown release may be included."""
        return os == self.os and (not self.release or not release or release in self.release)

    def __str__(self) -> str:
        return " ".join([self.os, " or ".join(self.release)]).strip()


class HttpAnswer(Struct, frozen=True, forbid_unknown_fields=True):
    """Well if a GET of `url` is answered with `status`, and with `contains` in the body. $NAME is a variable."""

    url: Annotated[str, Meta(description="an address with http://")]
    status: Annotated[int, Meta(description="the status that it is answered with")] = 200
    contains: Annotated[str, Meta(description="a text that the body contains")] = ""


class TcpPort(Struct, frozen=True, forbid_unknown_fields=True):
    """Well if a connection is accepted. $NAME is a variable."""

    host: Annotated[str, Meta(description="a host name or an address")]
    port: Annotated[int | str, Meta(description="its port")]


class TaskservCheck(Struct, frozen=True, forbid_unknown_fields=True):
    """Exactly one of a shell script that exits with 0 if all is well, an HTTP answer and a port; on the server.

    The variables are in the environment. Times are in seconds.
    """

    name: Annotated[str, Meta(description="unique among the entry's checks")]
    run: Annotated[
        str,
        Meta(description="a shell script that exits with 0 if all is well; it has the variables in its environment"),
    ] = ""
    http: Annotated[
        HttpAnswer | None, Meta(description="instead of `run`: a request from the server, and its answer")
    ] = None
    tcp: Annotated[
        TcpPort | None, Meta(description="instead of `run`: a port that accepts a connection from the server")
    ] = None
    retries: Annotated[int, Meta(description="how often it is repeated after an install if it fails")] = 5
    every: Annotated[float, Meta(description='time between two attempts: seconds, or `"2s"`')] = 1.0
    timeout: Annotated[float, Meta(description="time limit of one attempt, in the same way")] = 10.0

    @property
    def way(self) -> str:
        """The field that says how it looks."""
        return "http" if self.http is not None else "tcp" if self.tcp is not None else "run"

    @property
    def script(self) -> str:
        """The script that looks. It may call the functions that the runner defines for checks."""
        if self.http is not None:
            words = (self.http.url, str(self.http.status), self.http.contains)
            return f"http_answers {' '.join(map(_expanded, words))}\n"
        if self.tcp is not None:
            return f"port_accepts {_expanded(self.tcp.host)} {_expanded(str(self.tcp.port))}\n"
        return self.run


def _expanded(text: str) -> str:
    """A word of a shell script in which the shell fills in variables, and does nothing else."""
    for special in ("\\", '"', "`", "$("):
        text = text.replace(special, f"\\{special}")
    return f'"{text}"'


class Moment(StrEnum):
    """What the other servers are about to do when the leader's script runs."""

    INSTALL = "install"
    REMOVE = "remove"


class Output(Struct, frozen=True, forbid_unknown_fields=True):
    """A value that the leader of a cluster gives to the other servers: printed by the script `run` when it is needed.

    It is passed from server to server and stored nowhere. A leader that cannot print it does not prevent a removal.
    """

    run: Annotated[str, Meta(description="a shell script of the leader's that prints it")]
    secret: Annotated[bool, Meta(description="whether it is kept out of all output")] = True
    when: Annotated[Moment, Meta(description="whether it is told to servers that install or that remove")] = (
        Moment.INSTALL
    )


class Timeouts(Struct, frozen=True, forbid_unknown_fields=True):
    """Time limits in seconds."""

    install: Annotated[
        float, Meta(description='time limit of an install: seconds, or `"10m"`; `timeout` of the operation holds too')
    ] = 1800.0
    remove: Annotated[float, Meta(description="time limit of a removal")] = 600.0


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

    name: Annotated[str, Meta(description="the name of the folder: lower-case letters, digits and hyphens")]
    version: Annotated[str, Meta(description="what it installs, in quotes")]
    summary: Annotated[str, Meta(description="one line for lists")]
    seconds: Annotated[float, Meta(description="how long an install usually takes, for estimates only")]
    provides: Annotated[tuple[str, ...], Meta(description="virtual names that others may require")] = ()
    requires: Annotated[tuple[str, ...], Meta(description="names or virtual names that are added and come first")] = ()
    after: Annotated[tuple[str, ...], Meta(description="names that come first where both are wanted")] = ()
    conflicts: Annotated[
        tuple[str, ...],
        Meta(description="what cannot be on its server; of a name that it provides itself: nothing else that does"),
    ] = ()
    needs: Annotated[ServerRequirements, Meta(description="what a server must offer")] = ServerRequirements()
    variables: Annotated[dict[str, Variable], Meta(description="settings that a workflow may give, by name")] = {}
    variants: Annotated[dict[str, Variant], Meta(description="what differs on a provider, by its name")] = {}
    scope: Annotated[
        Scope, Meta(description="`cluster` joins the servers of an operation: the first is the leader")
    ] = Scope.SERVER
    platforms: Annotated[tuple[Platform, ...], Meta(description="systems that it can be installed on; none: any")] = ()
    check: Annotated[tuple[TaskservCheck, ...], Meta(description="what must be well after an install")] = ()
    outputs: Annotated[
        dict[str, Output], Meta(description="values that the leader of a cluster gives to the others, by name")
    ] = {}
    timeouts: Annotated[Timeouts, Meta(description="time limits")] = Timeouts()
    present: Annotated[
        str, Meta(description="a shell script that exits with 0 if it is on the server, however it was installed")
    ] = ""
    multiple: Annotated[
        bool, Meta(description="whether a server may have it several times, each with a name of its own")
    ] = False
    remove_before_destroy: Annotated[
        bool, Meta(description="whether a rollback removes it even if its server is destroyed next")
    ] = False
    tested: Annotated[Tested, Meta(description="what its author has seen it do")] = Tested.UNKNOWN
    digest: Annotated[
        str, Meta(description="of all files of its folder, set by who reads it: what was planned is what is installed")
    ] = ""

    def version_on(self, os: str, release: str) -> str:
        """The version that is installed on a system, as far as it is known."""
        if not os or not release:
            return self.version
        found = (one.version for one in self.platforms if one.version and one.covers(os, release))
        return next(found, self.version)

    def variable(self, name: str) -> Variable | None:
        """What the value of this name is, also inside a map; None if the entry does not have it."""
        parts = ValueName.parse(name)
        own = self.variables.get(parts.variable)
        return own if own is None or parts.key is None else own.part(parts.key, parts.field)

    def flattened(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """The variables of a workflow file with a value for each element of a map."""

        def is_map(path: tuple[str, ...], value: Any) -> bool:
            own = self.variables.get(path[0])
            if not isinstance(value, dict) or own is None or own.type is not VariableType.MAP:
                return False
            return len(path) == 1 or bool(own.fields)

        return flattened(variables, is_map)

    def defaults(self, provider: str) -> dict[str, PlainValue]:
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
