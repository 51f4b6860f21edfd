"""Who is at the other end of a connection from this machine: the owner of its socket, as the kernel reports it.

Without a token there is no other evidence. What cannot be determined is refused, never guessed. Linux: sock_diag(7)
names a socket's owner and inode, /proc the processes that hold the inode. A process of a local server may have the user
id of our user or of root, so it is recognised by its PID namespace and its control group.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import struct
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from batchwright.errors import PeerUnknown

PROC = Path("/proc")
GROUP = "/batchwright-"  # how the control groups of local servers begin; see providers/local/cgroups.py
OVERFLOW_UID = 65534  # the id of every user that is not mapped in this namespace
ANSWER_SECONDS = 2.0  # the kernel answers at once, or not at all

_INET_DIAG, _BY_FAMILY, _REQUEST = 4, 20, 1  # NETLINK_INET_DIAG, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST
_CONNECTED = frozenset(
    {1, 4, 5, 8}
)  # ESTABLISHED, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT: the kernel reports no owner for others

Address = tuple[str, int]


class Socket(Struct, frozen=True):
    """One end of a connection. `inode` is 0 once no process holds it; then `uid` means nothing."""

    state: int
    uid: int
    inode: int


class PeerProcess(Struct, frozen=True):
    """A process that holds a socket. `sandboxed`: it runs in a local server, or some other container."""

    pid: int
    sandboxed: bool


# -- deciding -----------------------------------------------------------------------------------------------------


def trouble(end: Socket, own_uid: int, *, whole: bool) -> str:
    """Why a connection cannot come from this user or root; empty if it may. Pure.

    `whole`: all users of the machine are mapped in our user namespace.
    """
    if end.state not in _CONNECTED or not end.inode:
        return "the other end of the connection is gone"
    if end.uid not in (own_uid, 0):
        return f"it comes from the user {end.uid}"
    if end.uid == OVERFLOW_UID and not whole:
        return "it comes from a user who has no user id here"
    return ""


def held_trouble(holders: Iterable[PeerProcess]) -> str:
    """Why the processes that hold the socket are refused; empty if they are accepted. Pure."""
    found = list(holders)
    if not found:
        return "the process it comes from cannot be determined"
    if inside := [one.pid for one in found if one.sandboxed]:
        return f"it comes from a local server or a container (process {inside[0]})"
    return ""


def is_sandboxed(status: str, cgroup: str) -> bool:
    """From the texts of /proc/PID/status and /proc/PID/cgroup (proc_pid_status(5), cgroups(7)). Pure.

    A process of a namespace below ours has a number in each of them.
    """
    numbers = next((line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:")), [])
    return len(numbers) != 1 or any(GROUP in line for line in cgroup.splitlines())


# -- looking ------------------------------------------------------------------------------------------------------


def far_end(peer: Address, own: Address) -> Socket:
    """The other end of a TCP connection within this machine. Raises PeerUnknown."""
    family = socket.AF_INET6 if ":" in peer[0] else socket.AF_INET
    try:
        there, here = (socket.inet_pton(family, host.partition("%")[0]).ljust(16, b"\0") for host in (peer[0], own[0]))
        ends = struct.pack("!HH", peer[1], own[1]) + there + here + struct.pack("=III", 0, 0xFFFFFFFF, 0xFFFFFFFF)
        asked = struct.pack("=BBBBI", family, socket.IPPROTO_TCP, 0, 0, 0xFFFFFFFF) + ends
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _INET_DIAG) as kernel:
            kernel.settimeout(ANSWER_SECONDS)
            kernel.send(struct.pack("=IHHII", 16 + len(asked), _BY_FAMILY, _REQUEST, 1, 0) + asked)
            told = kernel.recv(65536)
    except (OSError, AttributeError, ValueError) as error:  # no Linux, or a sandbox around us that forbids it
        raise PeerUnknown("this system does not report the owner of a connection") from error
    if struct.unpack_from("=H", told, 4)[0] != _BY_FAMILY:  # an error: there is no such socket
        return Socket(0, 0, 0)
    state = told[17]
    found = struct.unpack_from("!HH", told, 20)
    uid, inode = struct.unpack_from("=II", told, 80)
    return Socket(state if found == (peer[1], own[1]) else 0, uid, inode)


def holders_of(inodes: frozenset[int]) -> dict[int, list[PeerProcess]]:
    """Every process that holds one of these sockets, of those whose files we may see."""
    links = {f"socket:[{inode}]": inode for inode in inodes}
    found: dict[int, list[PeerProcess]] = {inode: [] for inode in inodes}
    for pid in _pids():
        folder = f"{PROC}/{pid}/fd"
        try:
            names = os.listdir(folder)  # noqa: PTH208 - thousands of them, and only their ends are wanted
        except OSError:  # it is gone, or another user's
            continue
        held: set[int] = set()
        for name in names:
            try:
                link = os.readlink(f"{folder}/{name}")  # noqa: PTH115
            except OSError:
                continue
            if link in links:
                held.add(links[link])
        for inode in held:
            found[inode].append(PeerProcess(pid, _sandboxed(pid)))
    return found


def _pids() -> list[int]:
    try:
        return [int(name) for name in os.listdir(PROC) if name.isdecimal()]  # noqa: PTH208
    except OSError:
        return []


def _sandboxed(pid: int) -> bool:
    """What cannot be read counts as one."""
    try:
        return is_sandboxed((PROC / f"{pid}/status").read_text(), (PROC / f"{pid}/cgroup").read_text())
    except (OSError, ValueError):
        return True


def _root_may_be_inside() -> bool:
    """Whether a process of root may run in a local server or a container; also true if that cannot be determined."""
    try:
        if os.stat(PROC / "1").st_uid != 0 and 0 not in {os.stat(PROC / str(pid)).st_uid for pid in _pids()}:  # noqa: PTH116
            return True  # others are hidden from us
    except OSError:
        return True
    for pid in _pids():
        try:
            of_root = os.stat(PROC / str(pid)).st_uid == 0  # noqa: PTH116
        except OSError:
            continue
        if of_root and _sandboxed(pid):
            return True
    return False


def _all_have_numbers() -> bool:
    try:
        return (PROC / "self/uid_map").read_text().split() == ["0", "0", "4294967295"]
    except OSError:
        return False


# -- asking -------------------------------------------------------------------------------------------------------


class Peers:
    """Identifies the owners of connections. One scan of the processes serves all waiting callers."""

    def __init__(self) -> None:
        self._own = os.geteuid()
        self._whole = _all_have_numbers()
        self._wanted: dict[int, asyncio.Future[list[PeerProcess]]] = {}
        self._looking: asyncio.Task[None] | None = None

    async def check(self, peer: Address, own: Address) -> int:
        """The user id of the other end. Raises PeerUnknown unless it is this user or root, and not a local server."""
        if not (is_loopback(peer[0]) and is_loopback(own[0])):
            raise PeerUnknown("it does not come from this machine")
        end = far_end(peer, own)
        why = trouble(end, self._own, whole=self._whole)
        if not why and end.uid == 0 != self._own:  # root's files are not ours to see
            inside = await asyncio.to_thread(_root_may_be_inside)
            why = "it comes from root, and root runs local servers or containers here" if inside else ""
        elif not why:
            why = held_trouble(await self._holders(end.inode))
        if why:
            raise PeerUnknown(why)
        return end.uid

    def check_unix(self, sock: socket.socket) -> int:
        """As `check`, for a connection over the service's own socket. Raises PeerUnknown."""
        try:
            pid, uid, _ = struct.unpack("=iii", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        except (OSError, AttributeError) as error:
            raise PeerUnknown("this system does not report the owner of a connection") from error
        if uid not in (self._own, 0):
            raise PeerUnknown(f"it comes from the user {uid}")
        if pid <= 0 or _sandboxed(pid):
            raise PeerUnknown("it comes from a local server, a container, or a process that has ended")
        return int(uid)

    async def _holders(self, inode: int) -> list[PeerProcess]:
        future = self._wanted.get(inode)
        if future is None:
            future = self._wanted[inode] = asyncio.get_running_loop().create_future()
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        return await asyncio.shield(future)

    async def _look(self) -> None:
        """Read until no caller waits; callers that arrive meanwhile are served by the next read."""
        try:
            while self._wanted:
                wanted, self._wanted = self._wanted, {}
                try:
                    found = await asyncio.to_thread(holders_of, frozenset(wanted))
                except Exception as error:
                    for future in wanted.values():
                        future.set_exception(PeerUnknown(f"the processes cannot be inspected: {error}"))
                else:
                    for inode, future in wanted.items():
                        future.set_result(found[inode])
        finally:
            self._looking = None


def is_loopback(host: str) -> bool:
    """Whether this name or address can only be this machine."""
    bare = host.strip("[]")
    if bare == "localhost":
        return True
    try:
        address = ipaddress.ip_address(bare.partition("%")[0])
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
