"""A static server that is OpenSSH's own sshd: what it says and how it refuses is not what asyncssh's server does.

The sshd is that of a real server of this machine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncssh
from msgspec.structs import replace
from tests.real.servers import servers
from tests.support.sandboxes import need_sandboxes

from batchwright.model.call_outcome import ServerState
from batchwright.model.fault import Fault
from batchwright.model.ssh_access import SshAccess
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.static import Static
from batchwright.providers.static.records import Records, ServerClaim
from batchwright.providers.static.ssh_probe import Facts, look
from batchwright.taskservs.runner.ssh_connection import connected

Story = Callable[[SshAccess], Awaitable[None]]


def keys(path: Path, kind: str = "ssh-ed25519") -> str:
    """Make a key pair; gives the public one."""
    key = asyncssh.generate_private_key(kind)
    key.write_private_key(str(path))
    path.chmod(0o600)
    return " ".join(key.export_public_key().decode().split()[:2])


def at_openssh(folder: Path, story: Story) -> None:
    """Tell the story of a server with OpenSSH's sshd."""
    need_sandboxes()

    async def main() -> None:
        async with servers(folder / "state", "one") as (target,):
            assert target.access is not None
            await story(target.access)

    asyncio.run(main())


def test_whom_it_lets_in_and_what_it_says_to_others(tmp_path: Path) -> None:
    async def story(server: SshAccess) -> None:
        found = await look(server)
        assert isinstance(found, Facts), found
        assert found.memory_mb > 0

        for kind in ("ssh-ed25519", "ecdsa-sha2-nistp256"):
            refused = await look(replace(server, host_keys=(keys(tmp_path / kind, kind),)))
            assert isinstance(refused, Fault)
            assert refused.code == "host-key-mismatch"

        keys(tmp_path / "stranger")
        refused = await look(replace(server, key=str(tmp_path / "stranger")))
        assert isinstance(refused, Fault)
        assert refused.code == "login-refused"

    at_openssh(tmp_path, story)


CONFIGURE = """\
cp -n /etc/ssh/sshd_config /etc/ssh/as-installed 2>/dev/null
{ cat <<'END'
%s
END
cat /etc/ssh/as-installed; } >/etc/ssh/sshd_config
/usr/sbin/sshd -t || exit 1
kill -HUP $(pgrep -o -f 'sshd.*-D')
"""
REFUSALS = {  # what is set in sshd_config, or done to the user `other`: how it is told
    "AllowTcpForwarding no": ("forwarding-refused", "the jump host"),
    "AuthenticationMethods publickey,keyboard-interactive\nKbdInteractiveAuthentication yes": (
        "login-asks-more", "it also wants keyboard-interactive"),
    "MaxAuthTries 1": ("too-many-keys", "Too many authentication failures"),
    "ForceCommand echo only backups here": ("login-interferes", "only backups here"),
    "usermod -s /usr/sbin/nologin other": ("no-shell", "This account is currently not available"),
    "usermod -s /bin/sh other; chage -d 0 other": ("password-expired", "Your password has expired"),
    "chage -d 2020-01-01 -E 0 other": ("account-locked", "Your account has expired"),
}  # fmt: skip


def test_how_it_refuses_is_told_in_its_words(tmp_path: Path) -> None:
    """F12: OpenSSH's own, and those of PAM behind it."""

    async def story(server: SshAccess) -> None:
        keys(tmp_path / "stranger")
        other = (
            "useradd -m other; mkdir ~other/.ssh; cp ~root/.ssh/authorized_keys ~other/.ssh; chown -R other ~other/.ssh"
        )
        async with connected(server) as connection:
            assert (await connection.script(other, 60)).code == 0
            for text, (code, said) in REFUSALS.items():
                user = "other" in text
                done = await connection.script(f"{text}\n{CONFIGURE % ''}" if user else CONFIGURE % text, 60)
                assert done.code == 0, done.tail
                access = replace(server, user="other") if user else server
                access = replace(access, jump=server) if "Forwarding" in text else access
                access = replace(access, key=str(tmp_path / "stranger")) if "MaxAuth" in text else access
                refused = await look(access)
                for _ in range(1_200):  # sshd reads its configuration anew in its own time
                    if isinstance(refused, Fault) and refused.code == code:
                        break
                    await asyncio.sleep(0.1)
                    refused = await look(access)
                assert isinstance(refused, Fault), text
                assert (refused.code, said in refused.message) == (code, True), refused
                assert server.host in refused.message

    at_openssh(tmp_path, story)


def test_many_go_through_one_jump_host_without_being_turned_away(tmp_path: Path) -> None:
    """sshd turns away some of the logins that are under way at the same time, from the tenth on (MaxStartups)."""

    async def story(server: SshAccess) -> None:
        through = replace(server, jump=server)
        assert isinstance(await look(through), Facts)
        provider, records = Static("static", tmp_path / "records"), Records(tmp_path / "records")
        await provider.open()
        refs = [f"static-{n}" for n in range(40)]
        for ref in refs:
            records.put(ServerClaim(ref, "run", ref, ServerRequest(ref, "", ""), through))
        seen = await provider.describe(refs)
        assert [one.fault for one in seen.values() if one.state is not ServerState.READY] == []

    at_openssh(tmp_path, story)
