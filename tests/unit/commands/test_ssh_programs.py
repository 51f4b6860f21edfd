"""Programs on a server: over a real SSH connection to a server in the test's own process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from tests.support.ssh_host import ENVIRON, ShellHost

from batchwright.app.system_clock import SystemClock
from batchwright.commands.base import MARK, CommandServer, Launch
from batchwright.commands.ssh import SshCommands, script
from batchwright.model.call_outcome import Applied, Rejected, Unknown
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.fault import FaultClass
from batchwright.model.secret_reference import SecretReference
from batchwright.model.ssh_access import SshAccess
from batchwright.operations.command import CommandRequest
from batchwright.secret_resolver import reveal
from batchwright.testing.plans import command

PATIENCE = 60.0


def shell(script: str, **rest: Any) -> CommandRequest:
    return CommandRequest("sh", ("sh", "-c", script), **rest)


def play(folder: Path, scenario: Callable[[ShellHost], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(PATIENCE), ShellHost(folder).up() as host:
            await scenario(host)

    asyncio.run(main())


async def until(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(0.01)


def test_it_runs_there_with_its_variables_and_no_secret_on_a_command_line(tmp_path: Path) -> None:
    env: dict[str, str | SecretReference] = {"PLAIN": "it's\ntwo", "TOKEN": SecretReference(env="SECRET_OF_OURS")}

    async def scenario(host: ShellHost) -> None:
        script = 'echo "$PLAIN"; echo "$TOKEN"; echo oops >&2; echo $BATCHWRIGHT_RUN $BATCHWRIGHT_STEP; cat'
        assert await host.there.launch(shell(script, env=env), host.launch()) == Applied()
        assert host.said == ["it's", "two", "***", "oops", "run do/web-01"]
        assert host.commands == ["exec sh", "sh -s", "sh -s"]

    play(tmp_path, scenario)


def test_a_program_that_is_not_there_is_what_the_shell_says(tmp_path: Path) -> None:
    async def scenario(host: ShellHost) -> None:
        missing = await host.there.launch(CommandRequest("none", ("no-such-program",)), host.launch())
        assert isinstance(missing, Rejected)
        assert "not found" in missing.fault.message

    play(tmp_path, scenario)


def test_folder_and_undo(tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()

    async def scenario(host: ShellHost) -> None:
        request = CommandRequest("false", ("false",), ("pwd",), directory="a b")
        assert await host.there.launch(request, host.launch(undo=True)) == Applied()
        assert host.said == [str(tmp_path / "a b")]
        nowhere = await host.there.launch(CommandRequest("pwd", ("pwd",), directory="none"), host.launch())
        assert isinstance(nowhere, Rejected)

    play(tmp_path, scenario)


def test_a_server_that_cannot_be_reached_or_is_another_one_starts_nothing(tmp_path: Path) -> None:
    async def scenario(host: ShellHost) -> None:
        stranger = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()
        good = host.access
        for access, kind, code in (
            (SshAccess("127.0.0.1", "tester", 1, good.key, good.host_keys), FaultClass.TRANSIENT, "unreachable"),
            (SshAccess("127.0.0.1", "tester", good.port, good.key, (stranger,)), FaultClass.AUTH, "host-key-mismatch"),
            (SshAccess("127.0.0.1", "tester", good.port, good.key), FaultClass.AUTH, "host-key-unknown"),
        ):
            host.access = access
            outcome = await host.there.launch(shell("true"), host.launch())
            assert isinstance(outcome, Rejected)
            assert (outcome.fault.kind, outcome.fault.code) == (kind, code)
        for on in (None, CommandServer("web-01", "127.0.0.1", "simulated", "here")):
            outcome = await host.there.launch(shell("true"), Launch("run", "do/web-01", "m", on=on))
            assert isinstance(outcome, Rejected)
            assert outcome.fault.kind is FaultClass.NOT_FOUND
        assert host.commands == []

    play(tmp_path, scenario)


def test_through_a_jump_host(tmp_path: Path) -> None:
    async def scenario(host: ShellHost) -> None:
        host.access = SshAccess(*_fields(host.access), jump=host.access)
        outcome = await host.there.launch(shell("echo there"), host.launch())
        assert (outcome, host.said) == (Applied(), ["there"])

    play(tmp_path, scenario)


def _fields(access: SshAccess) -> tuple[Any, ...]:
    return access.host, access.user, access.port, access.key, access.host_keys


def test_a_lost_connection_is_in_doubt_and_what_goes_on_there_is_told_of_and_ended_before_the_next_start(
    tmp_path: Path,
) -> None:
    async def scenario(host: ShellHost) -> None:
        task = asyncio.create_task(host.there.launch(shell("echo begun; exec sleep 1000"), host.launch()))
        await until(lambda: host.said == ["begun"])
        host.connections[-1].abort()
        outcome = await task
        assert isinstance(outcome, Unknown)
        assert "the connection to web-01 was lost" in outcome.reason
        await until(lambda: len(host.survivors()) == 1)
        [pid] = host.survivors()
        assert await host.there.left_over(host.launch()) == f"still running on web-01 as process {pid}"
        assert await host.there.launch(shell("echo again"), host.launch(again=True)) == Applied()
        assert host.survivors() == []
        assert await host.there.left_over(host.launch()) == ""

    play(tmp_path, scenario)


def test_what_it_needs_is_looked_for_before_its_server_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    there = SshCommands(ENVIRON, lambda one: reveal(one, ENVIRON), SystemClock())
    found = asyncio.run(there.resolve(command("do", "deploy", "--all", targets=("web-01",), directory="srv")))
    assert found == CommandRequest("deploy", ("deploy", "--all"), directory="srv")
    missing = asyncio.run(there.resolve(command("do", "x", env={"A": SecretReference(env="NONE")})))
    assert isinstance(missing, list)
    assert [flaw.code for flaw in missing] == ["secret-missing"]
    monkeypatch.setattr("batchwright.commands.ssh.find_spec", lambda _name: None)
    [flaw] = asyncio.run(there.resolve(command("do", "x")))  # type: ignore[misc]
    assert isinstance(flaw, Diagnostic)
    assert "batchwright[ssh]" in flaw.hint


def test_the_mark_is_that_of_programs_on_this_machine() -> None:
    assert MARK == "BATCHWRIGHT_MARK"


def test_bytes_of_secrets_arrive_unchanged_there(tmp_path: Path) -> None:
    """B2"""
    body = b"pa\rss\r\n'\"\\ $x `id` \xc3\xa9\t!\r"
    (tmp_path / "s").write_bytes(body + b"\n")
    request = shell('printf %s "$S" >out', env={"S": SecretReference(file=str(tmp_path / "s"))})

    async def scenario(host: ShellHost) -> None:
        assert await host.there.launch(request, host.launch()) == Applied()
        assert (tmp_path / "out").read_bytes() == body

    play(tmp_path, scenario)


def test_what_fails_before_the_shell_has_its_script_is_certain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """B4"""

    async def scenario(host: ShellHost) -> None:
        for request in (
            shell("touch begun", env={"S": SecretReference(file="/dev/zero")}),
            shell("touch begun", env={"S": "x" * 140_000}),
            CommandRequest("sh", ("sh", "-c", "touch begun", "a\0b")),
        ):
            outcome = await host.there.launch(request, host.launch())
            assert isinstance(outcome, Rejected)
            assert outcome.fault.code in ("secret-missing", "command-too-long", "command-invalid")
        for error, kind in (
            (asyncssh.ChannelOpenError(1, "no more sessions"), FaultClass.TRANSIENT),
            (TimeoutError(), FaultClass.TRANSIENT),
            (ValueError("no such thing"), FaultClass.NOT_FOUND),
        ):

            async def refuse(_connection: object, error: Exception = error) -> None:
                raise error

            monkeypatch.setattr("batchwright.commands.ssh._shell", refuse)
            outcome = await host.there.launch(shell("touch begun"), host.launch())
            assert isinstance(outcome, Rejected)
            assert outcome.fault.kind is kind
        assert host.commands == []
        assert not (tmp_path / "begun").exists()

    play(tmp_path, scenario)


def test_half_a_script_does_nothing(tmp_path: Path) -> None:
    """B4: a connection that breaks while the script is sent runs no part of it."""
    text = script(("touch", str(tmp_path / "a"), str(tmp_path / "b")), {"X": "1"}, "")
    for cut in range(len(text) - 2):
        subprocess.run(["sh"], input=text[:cut].encode(), stderr=subprocess.DEVNULL, check=False)
    assert list(tmp_path.iterdir()) == []
    subprocess.run(["sh"], input=text.encode(), check=True)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a", "b"]


def test_the_programs_own_end_decides_there_too(tmp_path: Path) -> None:
    """B5: as OpenSSH does, the server tells how the program ended while something else holds its output open."""

    async def scenario(host: ShellHost) -> None:
        for code in (0, 3):
            request = shell(f"sleep 1000 & echo $! >pid{code}; echo own; exit {code}")
            outcome = await host.there.launch(request, host.launch())
            pid = int((tmp_path / f"pid{code}").read_text())
            os.kill(pid, signal.SIGKILL)
            assert outcome == Applied() if code == 0 else isinstance(outcome, Rejected)
            assert f"process {pid} (sleep)" in host.said[-1]
            assert "can still write to its output" in host.said[-1]

    play(tmp_path, scenario)


def test_values_and_servers_go_through_files_in_a_private_folder_there(tmp_path: Path) -> None:
    """Nothing is left of it, also after a failure; how this machine logs in to servers is not told there."""

    async def scenario(host: ShellHost) -> None:
        others = (CommandServer("db-1", "10.0.0.5", "local", "here", host.access),)
        text = (
            'cat "$BATCHWRIGHT_SERVERS"; echo; stat -c "%a %s" "${BATCHWRIGHT_SERVERS%/*}" "$BATCHWRIGHT_OUTPUTS";'
            ' echo "ur\u00fcl=x" >> "$BATCHWRIGHT_OUTPUTS"; printf "url=it\'s\\n" >> "$BATCHWRIGHT_OUTPUTS"'
        )
        outcome = await host.there.launch(shell(text, outputs=("url",)), host.launch(servers=others))
        assert outcome == Applied(outputs={"url": "it's"})
        assert json.loads(host.said[0]) == [
            {"name": "db-1", "address": "10.0.0.5", "provider": "local", "zone": "here"}
        ]
        assert host.said[1].split()[0] == "700"
        assert host.said[2] == "600 0"
        assert "dropped" in host.said[3]
        failed = await host.there.launch(shell("exit 3", outputs=("url",)), host.launch())
        assert isinstance(failed, Rejected)
        unless = shell("echo ran", unless=("sh", "-c", 'echo url=1 >> "$BATCHWRIGHT_OUTPUTS"'), outputs=("url",))
        assert await host.there.launch(unless, host.launch()) == Applied(changed=False, outputs={"url": "1"})
        assert "ran" not in host.said
        answers = shell("exit 3", answers={"yes": 0, "no": 3})
        assert await host.there.launch(answers, host.launch()) == Applied(answer="no")

    play(tmp_path, scenario)
    assert list(Path("/tmp").glob(f"batchwright-{tmp_path.name}-mark.*")) == []
