"""What others may use of this machine: clients of a service, and callers of a place."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_network
from pathlib import Path
from typing import Literal

from msgspec import Struct

ANY = "*"


class ServiceSecrets(Struct, frozen=True, forbid_unknown_fields=True):
    """The secrets that workflows of clients may name: variables of the service's environment, and files."""

    env: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not all(self.env):
            raise ValueError("a variable's name is empty")
        _check_absolute(self.files)


def _check_absolute(names: Iterable[str]) -> None:
    for name in names:
        if not name.startswith(("/", "~/")) or ".." in Path(name).parts:
            raise ValueError(f"{name!r} is not an absolute path: it must begin with / or ~/ and contain no ..")


class ServiceConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What `batchwright serve` allows its clients. In the folders `sources` are files that they may put on servers.

    `engine`: who drives runs of stores that machines share: the service itself, or the workers that Temporal finds.
    `trusted_proxies` are addresses and networks of the proxies before it, whose X-Forwarded-* headers count.
    """

    secrets: ServiceSecrets = ServiceSecrets()
    sources: tuple[str, ...] = ()
    engine: Literal["embedded", "temporal"] = "embedded"
    trusted_proxies: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_absolute(self.sources)
        for one in self.trusted_proxies:
            ip_network(one)


class PlaceConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What `batchwright worker --place` does for others; nothing, unless it says so.

    `providers` are those that it calls, with the kinds of calls: look, create, change, destroy. `commands` are the
    programs that it starts, by absolute path, and `variables` those of their environment that a caller may set.
    `taskservs` are the entries of its own catalogue that it installs and removes. "*" stands for all. `secrets` are
    those that calls may name.
    """

    providers: dict[str, tuple[Literal["look", "create", "change", "destroy", "*"], ...]] = {}
    commands: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    taskservs: tuple[str, ...] = ()
    secrets: ServiceSecrets = ServiceSecrets()

    def __post_init__(self) -> None:
        _check_absolute(name for name in self.commands if name != ANY)
