"""Whose a connection of this machine is."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.needs import missing

from batchwright.errors import PeerUnknown
from batchwright.service.peer_credentials import (
    OVERFLOW_UID,
    PeerProcess,
    Peers,
    Socket,
    far_end,
    held_trouble,
    holders_of,
    is_loopback,
    is_sandboxed,
    trouble,
)

TALKS = """
import os, socket, sys
uid, port, how = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
"x".encode("idna")  # imports what the other user cannot
os.setgid(uid), os.setuid(uid)
sock = socket.create_connection(("127.0.0.1", port))
print(sock.getsockname()[1], flush=True)
if how == "close":
    sock.close()
if how == "hide":  # in flight between two ends of a pair, so no process has it among its files
    one, other = socket.socketpair()
    socket.send_fds(one, [b"x"], [sock.fileno()])
    sock.close()
print("ready", flush=True)
sys.stdin.read()
"""


@given(st.integers(0, 12), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_only_the_own_user_and_root_are_let_in_and_only_while_a_process_holds_it(
    state: int, uid: int, inode: int, own: int
) -> None:
    """A5: a socket that nobody holds says that it is root's, so its owner means nothing."""
    let_in = not trouble(Socket(state, uid, inode), own, whole=True)
    assert let_in == (uid in (own, 0) and inode != 0 and state in (1, 4, 5, 8))
    if uid == OVERFLOW_UID:
        assert trouble(Socket(state, uid, inode), own, whole=False)


@given(st.lists(st.booleans(), max_size=5))
def test_one_holder_in_a_local_server_is_enough_to_be_refused(inside: list[bool]) -> None:
    """A5."""
    let_in = not held_trouble([PeerProcess(pid, one) for pid, one in enumerate(inside)])
    assert let_in == (bool(inside) and not any(inside))


@pytest.mark.parametrize(
    ("status", "cgroup", "inside"),
    [
        ("Name:\tx\nNSpid:\t12\n", "0::/user.slice\n", False),
        ("Name:\tx\nNSpid:\t12\t1\n", "0::/user.slice\n", True),
        ("NSpid:\t12\n", "4:memory:/batchwright-local-abc/x\n0::/\n", True),
        ("Name:\tNSpid: 1\n", "0::/\n", True),
        ("", "", True),
    ],
)
def test_a_process_of_a_local_server_is_known_by_its_namespace_or_its_group(
    status: str, cgroup: str, inside: bool
) -> None:
    """A5: what cannot be told counts as one."""
    assert is_sandboxed(status, cgroup) is inside


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        *((one, True) for one in ("127.0.0.1", "127.9.9.9", "::1", "[::1]", "::ffff:127.0.0.1", "localhost")),
        *((one, False) for one in ("10.0.0.1", "::ffff:10.0.0.1", "::", "0.0.0.0", "localhost.evil.example", "")),
    ],
)
def test_addresses_of_this_machine(host: str, expected: bool) -> None:
    """A2: IPv4 in the form of IPv6 too."""
    assert is_loopback(host) is expected


class Talk:
    """A server socket, and a process of some user that is connected to it."""

    def __init__(self, uid: int, how: str = "hold", line: tuple[str, ...] = ()) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        port = self.listener.getsockname()[1]
        self.process = subprocess.Popen(
            [*line, sys.executable, "-c", TALKS, str(uid), str(port), how],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.peer = ("127.0.0.1", int(self.process.stdout.readline()))
        self.accepted, _ = self.listener.accept()
        assert self.process.stdout.readline() == "ready\n"
        self.own = ("127.0.0.1", port)

    def __enter__(self) -> Talk:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate("")
        self.accepted.close()
        self.listener.close()

    def refused(self) -> str:
        try:
            asyncio.run(Peers().check(self.peer, self.own))
        except PeerUnknown as error:
            return error.message
        return ""


def test_the_user_who_runs_the_service_is_let_in() -> None:
    """A5."""
    with Talk(os.getuid()) as talk:
        assert talk.refused() == ""


@pytest.mark.parametrize("how", ["close", "hide"])
def test_a_socket_that_no_process_holds_is_nobodys(how: str) -> None:
    """A5: the kernel tells a socket that was closed as root's; one in flight is held by nobody who could be asked."""
    with Talk(os.getuid(), how) as talk:
        assert "gone" in talk.refused() or "cannot be determined" in talk.refused()


def test_another_user_is_not(tmp_path: Path) -> None:
    """A5: with any of the ways to look like root."""
    if os.geteuid() != 0:
        missing("only root can be another user")
    for how in ("hold", "close", "hide"):
        with Talk(54321, how) as talk:
            assert "54321" in talk.refused() or "gone" in talk.refused()


def test_root_in_a_namespace_of_its_own_is_not() -> None:
    """A5: a local server with the network of this machine has root's number and runs here."""
    if os.geteuid() != 0:
        missing("only root can make a namespace of processes without a user namespace")
    with Talk(0, line=("unshare", "--pid", "--fork", "--mount-proc")) as talk:
        assert "local server or a container" in talk.refused()


def test_a_connection_that_is_no_loopback_is_refused_without_looking() -> None:
    """A2."""
    for ends in ((("10.0.0.1", 1), ("127.0.0.1", 2)), (("127.0.0.1", 1), ("10.0.0.1", 2)), (("", 0), ("", 0))):
        with pytest.raises(PeerUnknown, match="does not come from this machine"):
            asyncio.run(Peers().check(*ends))


def test_what_the_system_does_not_tell_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A5: no Linux, or a sandbox around the service that keeps it from asking."""

    def none(*_: object, **__: object) -> socket.socket:
        raise PermissionError(1, "no")

    with Talk(os.getuid()) as talk:
        monkeypatch.setattr("batchwright.service.peer_credentials.PROC", Path("/nowhere"))
        assert "cannot be determined" in talk.refused()
        monkeypatch.setattr("batchwright.service.peer_credentials.socket.socket", none)
        with pytest.raises(PeerUnknown, match="does not report"):
            far_end(talk.peer, talk.own)


def test_many_connections_are_looked_up_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """A5: the processes are not gone through once for each of them."""
    looks = 0

    def counted(inodes: frozenset[int]) -> dict[int, list[PeerProcess]]:
        nonlocal looks
        looks += 1
        return holders_of(inodes)

    monkeypatch.setattr("batchwright.service.peer_credentials.holders_of", counted)
    with socket.create_server(("127.0.0.1", 0), backlog=300) as listener:
        ours = [socket.create_connection(listener.getsockname()) for _ in range(200)]

        async def main() -> None:
            peers = Peers()
            await asyncio.gather(*(peers.check(one.getsockname(), one.getpeername()) for one in ours))

        asyncio.run(main())
        for one in ours:
            one.close()
    assert looks <= 3
