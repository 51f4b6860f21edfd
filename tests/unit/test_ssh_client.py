"""Servers whose logins do what they like, and keys that they take or not: a server of this process."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import asyncssh
import pytest
from asyncssh.auth import _ServerPublicKeyAuth
from asyncssh.connection import SSHConnection
from asyncssh.packet import SSHPacket
from msgspec.structs import replace

from batchwright import ssh_client
from batchwright.commands.ssh import _swept
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.ssh_access import SshAccess
from batchwright.providers.static.ssh_probe import Facts, look
from batchwright.taskservs.runner.ssh_connection import Unreachable, connected
from tests.support.children import child
from tests.support.ssh_agent import ssh_agent

NOISES = {
    "no-newline": "printf 'Welcome to it'",
    "much": "head -c 3000000 /dev/zero | tr '\\0' x; head -c 3000000 /dev/zero | tr '\\0' y >&2",
    "asks": "printf 'Are you sure? '; read -r answer; read -r again",
    "pretends": "echo root=no; echo memory_kb=1",
    "errors": "echo 'sudo: a password is required, it is not allowed' >&2",
}


@contextlib.asynccontextmanager
async def server(folder: Path, noise: str, key: str = "ssh-ed25519", **settings: object) -> AsyncIterator[SshAccess]:
    """One whose login first runs `noise`, in the shell that then runs the command."""
    private, host_key = asyncssh.generate_private_key(key), asyncssh.generate_private_key("ssh-ed25519")
    private.write_private_key(str(folder / "key"))

    async def process(client: asyncssh.SSHServerProcess[bytes]) -> None:
        async with child("sh", "-c", f"{noise}\n{client.command}", stdin=-1, stdout=-1, stderr=-1) as shell:
            out, err = await shell.communicate(await client.stdin.read())
        client.stdout.write(out)
        client.stderr.write(err)
        client.exit(shell.returncode or 0)

    async with asyncssh.listen(
        "127.0.0.1", 0, server_host_keys=[host_key], process_factory=process, encoding=None,
        **{"authorized_client_keys": asyncssh.import_authorized_keys(private.export_public_key().decode()), **settings},
    ) as listener:  # fmt: skip
        known = " ".join(host_key.export_public_key().decode().split()[:2])
        yield SshAccess("127.0.0.1", "root", listener.get_port(), str(folder / "key"), (known,))


def play(story: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(120):
            await story()

    asyncio.run(main())


@pytest.mark.parametrize("noise", NOISES)
def test_what_a_login_prints_is_not_what_was_asked_for(tmp_path: Path, noise: str) -> None:
    """F10: in scripts, in the facts of a server, in the search for what still runs."""

    async def story() -> None:
        async with server(tmp_path, NOISES[noise]) as access:
            async with connected(access) as connection:
                assert (await connection.script("echo it; exit 3", 60)).output == "it\n"
                assert await _swept(connection._inner, "a-mark-of-nobody", "look") == ""
            facts = await look(access)
            assert isinstance(facts, Facts)
            assert facts.memory_mb > 1

    play(story)


def test_a_login_that_ends_is_told_with_what_it_said(tmp_path: Path) -> None:
    """F10: `exit 0` was "cannot become root", or an empty answer that looked like success."""

    async def story() -> None:
        async with server(tmp_path, "echo no shells here today; exit 0") as access:
            async with connected(access) as connection:
                with pytest.raises(Unreachable, match="code 0, after it said: no shells here today") as raised:
                    await connection.script("true", 60)
                assert raised.value.fault.code == "login-interferes"
                with pytest.raises(Unreachable, match="no shells here"):
                    await _swept(connection._inner, "a-mark-of-nobody", "look")
            fault = await look(access)
            assert isinstance(fault, Fault)
            assert (fault.kind, fault.code) == (FaultClass.AUTH, "login-interferes")

    play(story)


@pytest.mark.parametrize("algorithm", ["rsa-sha2-512", "rsa-sha2-256"])
@pytest.mark.parametrize("announced", [True, False])
def test_an_rsa_key_is_offered_with_both_algorithms(
    tmp_path: Path, algorithm: str, announced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F9: to a server that says what it takes, and to one that does not."""
    started, announce = _ServerPublicKeyAuth._start, SSHConnection._send_ext_info

    async def strict(self: _ServerPublicKeyAuth, packet: SSHPacket) -> None:
        at = packet._idx
        packet.get_boolean()
        offered = packet.get_string()
        packet._idx = at
        if offered == algorithm.encode():
            await started(self, packet)
        else:
            self.send_failure()

    def quiet(self: SSHConnection) -> None:  # as servers do that know nothing of RFC 8308
        if announced or not self.is_server():
            announce(self)

    monkeypatch.setattr(_ServerPublicKeyAuth, "_start", strict)
    monkeypatch.setattr(SSHConnection, "_send_ext_info", quiet)

    async def story() -> None:
        async with (
            server(tmp_path, "", "ssh-rsa", signature_algs=[algorithm]) as access,
            connected(access) as connection,
        ):
            assert (await connection.script("echo in", 60)).output == "in\n"

    play(story)


def test_the_key_pairs_of_a_key(tmp_path: Path) -> None:
    """F9."""
    for kind, expected in (("ssh-rsa", [*ssh_client.RSA]), ("ssh-ed25519", [b"ssh-ed25519"])):
        asyncssh.generate_private_key(kind).write_private_key(str(tmp_path / kind))
        assert [
            pair.sig_algorithm for pair in ssh_client._offered(asyncssh.load_keypairs([str(tmp_path / kind)]))
        ] == expected


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256"])
def test_a_key_in_the_agent_logs_in_if_its_file_is_named(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Named by its public key, or by its own encrypted file; a key that the file does not name is not offered."""
    key, path = asyncssh.generate_private_key(kind), tmp_path / "mine"
    key.write_private_key(str(path))
    path.chmod(0o600)
    key.write_public_key(f"{path}.pub")
    locked = tmp_path / "locked"
    key.write_private_key(str(locked), passphrase="secret", rounds=1, ignore_few_rounds=True)
    lets_in = asyncssh.import_authorized_keys(key.export_public_key().decode())

    async def story() -> None:
        async with server(tmp_path, "true", authorized_client_keys=lets_in) as access:
            for named in (f"{path}.pub", str(locked)):
                async with connected(replace(access, key=named)) as connection:
                    assert (await connection.script("echo in", 60)).output == "in\n"
            other = asyncssh.generate_private_key("ssh-ed25519")
            other.write_public_key(str(tmp_path / "other.pub"))
            with pytest.raises(Unreachable, match=f"lets in the key {re.escape(other.get_fingerprint())}, which") as no:
                async with connected(replace(access, key=str(tmp_path / "other.pub"))):
                    pass
            assert (no.value.fault.code, no.value.lasting) == ("key-unusable", True)
            assert "[ssh] identity" in no.value.fault.hint
            monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "nothing"))
            with pytest.raises(Unreachable, match="no SSH agent answers"):
                async with connected(replace(access, key=str(locked))):
                    pass

    with ssh_agent(tmp_path, path) as socket:
        monkeypatch.setenv("SSH_AUTH_SOCK", socket)
        play(story)


def test_a_changed_host_key_is_told_with_both_fingerprints(tmp_path: Path) -> None:
    async def story() -> None:
        async with server(tmp_path, "true") as access:
            expected = asyncssh.generate_private_key("ssh-ed25519")
            known = " ".join(expected.export_public_key().decode().split()[:2])
            with pytest.raises(Unreachable) as refused:
                async with connected(replace(access, host_keys=(known,))):
                    pass
            found = asyncssh.import_public_key(access.host_keys[0]).get_fingerprint()
            words = f"127.0.0.1 port {access.port} shows a different host key from the known one: "
            assert words + f"expected {expected.get_fingerprint()}, found {found}." in refused.value.fault.message
            assert "--replace NAME" in refused.value.fault.hint

    play(story)
