"""Assigns server addresses that are unique on the machine, across all state folders and processes.

A claim is a file named after the address that records its owner, in one folder per user, which is locked while claims
are added or removed. A claim is stale if its server's folder and the process that made it are both gone.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Collection, Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from batchwright.durable_files import alone, make_private
from batchwright.providers.local.processes import is_alive, started_at

OWN_NETWORK = "198.19"  # addresses behind the lab bridge; the range is for benchmarks and not routed
SUBNET = 254


class Claim(Struct, frozen=True):
    """The owner of an address: a server's folder, and the process that claimed it."""

    folder: str
    pid: int
    started: int


class NoAddress(Exception):
    """All addresses are taken."""


def loopback_range(uid: int) -> str:
    """The first half of the addresses of a user's servers: 127.77 is root's."""
    return "127.77" if uid == 0 else f"127.{80 + uid % 170}"


def candidates(prefix: str, seed: int) -> Iterator[str]:
    """Every address of the range once, from a place that depends on the seed, so that a new server is a new address."""
    total = SUBNET * SUBNET
    for step in range(total):
        number = (seed + step) % total
        yield f"{prefix}.{number // SUBNET + 1}.{number % SUBNET + 1}"


def choose(prefix: str, seed: int, taken: Collection[str]) -> str:
    """A free address of the range. Raises NoAddress."""
    for address in candidates(prefix, seed):
        if address not in taken:
            return address
    raise NoAddress(f"every address of {prefix}.0.0 is taken")


def claims_folder() -> Path:
    """The folder of this user's claims, independent of HOME and the state folder."""
    uid = os.geteuid()
    place = Path("/var/lib/batchwright") if uid == 0 else _place_of_user(uid)
    folder = place / "addresses"
    make_private(folder)
    if place.is_symlink() or place.stat().st_uid != uid:
        raise PermissionError(f"{place} belongs to another user")
    return folder


def _place_of_user(uid: int) -> Path:
    """In the home that the machine knows of, where the user has one."""
    try:
        home = Path(pwd.getpwuid(uid).pw_dir)
        if home.is_dir() and home.stat().st_uid == uid:
            return home / ".local" / "state" / "batchwright-local"
    except (KeyError, OSError):  # the user has no name or no home
        pass
    return Path(f"/var/tmp/batchwright-{uid}")  # noqa: S108 - whose owner is looked at


def claim(folder: Path, prefix: str, seed: int, wish: str = "", claims: Path | None = None) -> str:
    """Claim an address for the server of this folder; it may have one already. Raises NoAddress, Held, OSError.

    `wish`, the address the server had before, is used if it is free.
    """
    claims = claims or claims_folder()
    with alone(claims):
        taken = _live(claims)
        mine = [address for address, held in taken.items() if held.folder == str(folder) and _within(address, prefix)]
        if mine:
            return mine[0]
        address = wish if wish and wish not in taken else choose(prefix, seed, taken)
        content = msgspec.json.encode(Claim(str(folder), os.getpid(), started_at(os.getpid()) or 0))
        (claims / address).write_bytes(content)
        return address


def release(folder: Path, claims: Path | None = None) -> None:
    """Release the address of this folder's server, if it has one. Raises Held, OSError."""
    claims = claims or claims_folder()
    with alone(claims):
        for address, held in _claims(claims):
            if held is not None and held.folder == str(folder):
                (claims / address).unlink()


def claimed(claims: Path | None = None) -> dict[str, str]:
    """Address -> folder of the server, of every server of this user, whatever its state folder."""
    return {address: held.folder for address, held in _claims(claims or claims_folder()) if held is not None}


def _within(address: str, prefix: str) -> bool:
    return address.startswith(f"{prefix}.")


def _claims(claims: Path) -> Iterator[tuple[str, Claim | None]]:
    for file in sorted(claims.iterdir()):
        try:
            yield file.name, msgspec.json.decode(file.read_bytes(), type=Claim)
        except FileNotFoundError:
            continue
        except msgspec.MsgspecError:
            yield file.name, None


def _live(claims: Path) -> dict[str, Claim]:
    """The valid claims. Stale ones are removed."""
    live = {}
    for address, held in _claims(claims):
        if held is not None and (Path(held.folder).exists() or is_alive(held.pid, held.started)):
            live[address] = held
        else:
            (claims / address).unlink(missing_ok=True)
    return live
