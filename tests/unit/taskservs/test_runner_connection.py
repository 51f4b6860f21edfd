"""SSH as the runner uses it, against a server of this process: scripts, root's rights, and who is trusted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import asyncssh
import pytest
from tests.support.children import child

from batchwright.login_output import OUTPUT_MAX
from batchwright.model.fault import FaultClass
from batchwright.model.ssh_access import SshAccess
from batchwright.taskservs.runner.ssh_connection import TOOK_TOO_LONG, SshConnection, Unreachable, connected

# sudo as it is met: it warns of what does not matter, and may refuse
SUDO = """#!/bin/sh
echo "sudo: unable to resolve host one: Name or service not known" >&2
[ ! -e "$(dirname "$0")/refuses" ] || { echo "sudo: a password is required" >&2; exit 1; }
[ "$1" = -n ] && shift
BECAME=root exec "$@"
"""


class _Open(asyncssh.SSHServer):
    def connection_requested(self, *_: object) -> bool:
        return True  # it is a jump host too


class Rig:
    """A key, a folder of commands, and servers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "sudo").write_text(SUDO)
        (folder / "sudo").chmod(0o755)
        private = asyncssh.generate_private_key("ssh-ed25519")
        private.write_private_key(str(folder / "key"))
        self._client = asyncssh.import_authorized_keys(private.export_public_key().decode())

    @contextlib.asynccontextmanager
    async def server(self, user: str = "root", jump: SshAccess | None = None) -> AsyncIterator[SshAccess]:
        host_key = asyncssh.generate_private_key("ssh-ed25519")
        async with asyncssh.listen(
            "127.0.0.1", 0, server_factory=_Open, server_host_keys=[host_key], process_factory=self._process,
            authorized_client_keys=self._client, encoding=None,
        ) as listener:  # fmt: skip
            known = " ".join(host_key.export_public_key().decode().split()[:2])
            yield SshAccess("127.0.0.1", user, listener.get_port(), str(self.folder / "key"), (known,), jump)

    async def _process(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        command = f"PATH={self.folder}:$PATH; {process.command}"
        async with child("sh", "-c", command, stdin=-1, stdout=-1, stderr=-1) as shell:
            out, err = await shell.communicate(await process.stdin.read())
        process.stdout.write(out)
        process.stderr.write(err)
        process.exit(shell.returncode or 0)


def play(folder: Path, scenario: Callable[[Rig], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(60):
            await scenario(Rig(folder))

    asyncio.run(main())


async def with_connection(rig: Rig, use: Callable[[SshConnection], Awaitable[None]], user: str = "root") -> None:
    async with rig.server(user) as access, connected(access) as connection:
        await use(connection)


def test_a_script_has_an_end_and_an_output_and_reads_nothing_of_itself(tmp_path: Path) -> None:
    async def use(connection: SshConnection) -> None:
        ran = await connection.script("echo one; cat; echo two >&2; exit 7; echo never", 30)
        assert (ran.code, ran.output) == (7, "one\ntwo\n")
        assert (await connection.script("echo fine", 30)).output == "fine\n"

    play(tmp_path, lambda rig: with_connection(rig, use))


def test_what_it_prints_is_bounded_and_need_not_be_text(tmp_path: Path) -> None:
    async def use(connection: SshConnection) -> None:
        ran = await connection.script("echo begin; head -c 3000000 /dev/zero | tr '\\0' x; printf '\\377end'", 30)
        assert ran.output.startswith("begin\nx")
        assert len(ran.output) < 2 * OUTPUT_MAX
        assert f"({ran.left_out:,} bytes omitted)" in ran.output
        assert ran.output.endswith("x\N{REPLACEMENT CHARACTER}end")

    play(tmp_path, lambda rig: with_connection(rig, use))


def test_a_script_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    async def use(connection: SshConnection) -> None:
        assert (await connection.script("sleep 600", 1)).code == TOOK_TOO_LONG

    play(tmp_path, lambda rig: with_connection(rig, use))


def test_others_become_root_by_sudo_whose_warnings_are_not_the_scripts(tmp_path: Path) -> None:
    async def use(connection: SshConnection) -> None:
        assert (await connection.script("echo $BECAME", 30)).output == "root\n"
        assert (await connection.script("echo wrong; exit 1", 30)).output == "wrong\n"

    play(tmp_path, lambda rig: with_connection(rig, use, "admin"))


def test_a_sudo_that_refuses_is_no_reason_to_wait(tmp_path: Path) -> None:
    async def use(connection: SshConnection) -> None:
        with pytest.raises(Unreachable, match=r"admin cannot become root on .* by sudo without a password") as raised:
            await connection.script("echo hello", 30)
        assert raised.value.lasting

    (tmp_path / "refuses").touch()
    play(tmp_path, lambda rig: with_connection(rig, use, "admin"))


def test_a_server_is_reached_through_another(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        async with rig.server() as first, rig.server(jump=first) as second, connected(second) as connection:
            assert (await connection.script("echo through", 30)).output == "through\n"

    play(tmp_path, scenario)


async def refused(access: SshAccess) -> Unreachable:
    with pytest.raises(Unreachable) as raised:
        async with connected(access):
            pass
    return raised.value


def test_only_the_known_host_key_is_trusted(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        async with rig.server() as one, rig.server() as other:
            swapped = SshAccess(one.host, one.user, one.port, one.key, other.host_keys)
            unknown = SshAccess(one.host, one.user, one.port, one.key)
            behind = SshAccess(one.host, one.user, one.port, one.key, one.host_keys, jump=unknown)
            troubles = [await refused(access) for access in (swapped, unknown, behind)]
        assert [trouble.fault.code for trouble in troubles] == [
            "host-key-mismatch",
            "host-key-unknown",
            "host-key-unknown",
        ]
        assert all(trouble.lasting and trouble.fault.kind is FaultClass.AUTH for trouble in troubles)

    play(tmp_path, scenario)


def test_nobody_there_nobody_let_in_and_no_key(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        async with rig.server() as access:
            stranger = asyncssh.generate_private_key("ssh-ed25519")
            stranger.write_private_key(str(tmp_path / "stranger"))
            denied = await refused(
                SshAccess(access.host, "eve", access.port, str(tmp_path / "stranger"), access.host_keys)
            )
            keyless = await refused(
                SshAccess(access.host, "eve", access.port, str(tmp_path / "gone"), access.host_keys)
            )
        down = await refused(access)
        assert (denied.fault.kind, denied.lasting) == (FaultClass.AUTH, False)
        assert "does not let eve in" in denied.fault.message
        assert (keyless.fault.kind, keyless.lasting) == (FaultClass.AUTH, True)
        assert (down.fault.kind, down.lasting) == (FaultClass.TRANSIENT, False)
        assert down.fault.message == f"127.0.0.1 port {access.port} cannot be reached: connection refused"

    play(tmp_path, scenario)


def test_a_connection_that_breaks_is_told(tmp_path: Path) -> None:
    async def use(connection: SshConnection) -> None:
        running = asyncio.create_task(connection.script("sleep 600", 600))
        await asyncio.sleep(0)
        connection._inner.abort()
        with pytest.raises(Unreachable, match="the connection broke"):
            await running

    play(tmp_path, lambda rig: with_connection(rig, use))
