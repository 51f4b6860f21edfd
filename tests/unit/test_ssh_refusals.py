"""F12: each way in which SSH, sudo and a jump host refuse, in its own words; on servers of this process."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from batchwright.commands.ssh import _swept
from batchwright.model.fault import Fault
from batchwright.model.ssh_access import SshAccess
from batchwright.providers.static.ssh_probe import look
from batchwright.ssh_client import Unreachable
from batchwright.ssh_refusals import denied, login_fault, refusal_in
from batchwright.taskservs.runner.ssh_connection import connected
from tests.unit.test_ssh_client import play, server


async def fault_of(access: SshAccess) -> Fault:
    fault = await look(access)
    assert isinstance(fault, Fault), fault
    return fault


NO_KEYS: dict[str, Any] = {"authorized_client_keys": None}


class Picky(asyncssh.SSHServer):
    """Says a banner; with `more` it takes no key but asks for that."""

    def __init__(self, banner: str = "", more: str = "") -> None:
        self._banner, self._more = banner, more

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._conn = conn

    def begin_auth(self, username: str) -> bool:
        if self._banner:
            self._conn.send_auth_banner(self._banner)
        return True

    def public_key_auth_supported(self) -> bool:
        return not self._more

    def kbdint_auth_supported(self) -> bool:
        return self._more == "keyboard-interactive"

    def password_auth_supported(self) -> bool:
        return self._more == "password"


def stranger(folder: Path, access: SshAccess) -> SshAccess:
    path = folder / "stranger"
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(str(path))
    return replace(access, key=str(path))


@pytest.mark.parametrize("more", ["keyboard-interactive", "password"])
def test_a_server_that_asks_for_more_than_a_key(tmp_path: Path, more: str) -> None:
    """F12: a second factor was "does not let you in with the key"."""

    async def story() -> None:
        async with server(tmp_path, "", server_factory=lambda: Picky("Use your token.", more), **NO_KEYS) as access:
            fault = await fault_of(access)
        assert fault.code == "login-asks-more"
        assert f"{access} does not accept a key alone for root: it also wants {more}" in fault.message
        assert "it says: Use your token." in fault.message
        assert "AuthenticationMethods publickey" in fault.hint

    play(story)


@pytest.mark.parametrize(
    ("banner", "code"),
    [
        ("Members\x1b[2J only.", "login-refused"),
        ("Your account has expired; please contact your system administrator.", "account-locked"),
        ("WARNING: Your password has expired.", "password-expired"),
        ("System is booting up. Unprivileged users are not permitted to log in yet.", "not-now"),
    ],
)
def test_a_banner_is_told_with_the_refusal(tmp_path: Path, banner: str, code: str) -> None:
    """F12."""

    async def story() -> None:
        async with server(tmp_path, "", server_factory=lambda: Picky(banner)) as access:
            fault = await fault_of(stranger(tmp_path, access))
        assert fault.code == code
        assert f"it says: {banner.replace(chr(27) + '[2J', '')}" in fault.message

    play(story)


def test_a_server_that_takes_no_more_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """F12: it was "cannot be reached"; OpenSSH ends the connection so."""

    def full(self: asyncssh.SSHServerConnection, *_: Any) -> None:
        self.disconnect(asyncssh.DISC_PROTOCOL_ERROR, "Too many authentication failures")

    async def story() -> None:
        async with server(tmp_path, "") as access:
            monkeypatch.setattr(asyncssh.SSHServerConnection, "send_userauth_failure", full)
            fault = await fault_of(stranger(tmp_path, access))
            assert (fault.code, "Too many authentication failures" in fault.message) == ("too-many-keys", True)
            assert "MaxAuthTries" in fault.hint

    play(story)


def test_a_jump_host_that_passes_nobody_on_is_the_one_that_is_named(tmp_path: Path) -> None:
    """F12: AllowTcpForwarding no, PermitOpen: the server behind it was blamed."""

    async def story() -> None:
        class Closed(asyncssh.SSHServer):
            def connection_requested(self, *_: object) -> bool:
                raise asyncssh.ChannelOpenError(asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, "open failed")

        async with server(tmp_path, "", server_factory=Closed) as jump:
            behind = replace(jump, host="localhost", port=1, jump=jump)
            fault = await fault_of(behind)
            assert fault.code == "forwarding-refused"
            assert f"the jump host {jump} does not allow connections to localhost port 1" in fault.message
            assert f"AllowTcpForwarding yes in the sshd_config of {jump}" in fault.hint

        class Open(asyncssh.SSHServer):
            def connection_requested(self, *_: object) -> bool:
                return True

        async with server(tmp_path, "", server_factory=Open) as jump:
            fault = await fault_of(replace(jump, host="127.0.0.1", port=1, jump=jump))
            assert fault.code == "unreachable"
            assert f"127.0.0.1 port 1 cannot be reached from the jump host {jump}" in fault.message

    play(story)


SAID = {
    "This account is currently not available.": "no-shell",
    "WARNING: Your password has expired.\nPassword change required but no TTY available.": "password-expired",
    "You are required to change your password immediately (administrator enforced).": "password-expired",
    "Your account has been locked. Contact the administrator.": "account-locked",
    "This service allows sftp connections only.": "forced-command",
    'Please login as the user "ubuntu" rather than the user "root".': "forced-command",
    "Hello, here is the menu.": "login-interferes",
}


@pytest.mark.parametrize("said", SAID)
def test_a_login_that_ends_is_told_with_its_host_and_what_to_set(tmp_path: Path, said: str) -> None:
    """F12: for every kind of login: facts, task services, commands."""

    async def story() -> None:
        async with server(tmp_path, f"echo {shlex.quote(said)}; exit 1") as access:
            fault = await fault_of(access)
            assert fault.code == SAID[said]
            assert f"the login of root on {access} " in fault.message
            assert said.splitlines()[0] in fault.message
            async with connected(access) as connection:
                with pytest.raises(Unreachable, match=f"the login of root on {access} ") as raised:
                    await connection.script("true", 60)
                assert raised.value.fault.code == SAID[said]
                with pytest.raises(Unreachable, match=r"the login of root on 127.0.0.1 ") as raised:
                    await _swept(connection._inner, "a-mark-of-nobody", "look")
                assert raised.value.fault.code == SAID[said]

    play(story)


TTY = "sudo: sorry, you must have a tty to run sudo"


@pytest.mark.parametrize(
    ("said", "code"), [(TTY, "no-terminal"), ("sudo: a password is required", "no-root")]
)  # fmt: skip
def test_sudo_refuses_in_its_own_words(tmp_path: Path, said: str, code: str) -> None:
    """F12: requiretty was "without a password"."""

    async def story() -> None:
        folder = tmp_path / "bin"
        folder.mkdir()
        for name, text in (("id", "echo 1000"), ("sudo", f"echo '{said}' >&2; exit 1")):
            (folder / name).write_text(f"#!/bin/sh\n{text}\n")
            (folder / name).chmod(0o755)
        async with server(tmp_path, f"PATH={folder}:$PATH; export PATH") as access:
            user = replace(access, user="plain")
            fault = await fault_of(user)
            assert fault.code == code
            assert said in fault.message
            async with connected(user) as connection:
                with pytest.raises(Unreachable, match=f"plain cannot become root on {access} by sudo") as raised:
                    await connection.script("true", 60)
                assert raised.value.fault.code == ("sudo-refused" if code == "no-root" else code)
                assert said in raised.value.fault.message

    play(story)


@given(st.text(), st.text(min_size=1), st.text(min_size=1))
def test_whatever_is_said_there_is_something_to_do(said: str, user: str, host: str) -> None:
    """F12: braces in a name are not filled in again, and every fault has a code and a hint."""
    for fault in (login_fault(user, host, said, "ended with 1"), denied(user, host, "the key k", [], said)):
        assert fault.code
        assert fault.hint
        assert host in fault.message
    found = refusal_in(said, user, host)
    assert found is None or all(found)
