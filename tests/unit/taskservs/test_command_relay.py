"""Commands of a child on its server, over the connection of the call: here to a server of this process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.unit.taskservs.test_runner_connection import Rig, play

from batchwright.model.ssh_access import SshAccess
from batchwright.taskservs.runner import command_relay
from batchwright.taskservs.runner.child_protocol import CommandChunk, CommandEnd, Reply, RunCommand
from batchwright.taskservs.runner.command_relay import CommandRelay
from batchwright.taskservs.runner.ssh_connection import SshConnection, connected


class Heard:
    """A relay, its connection, and what it passed on."""

    def __init__(self, access: SshAccess, connection: SshConnection, stack: AsyncExitStack) -> None:
        self.relay, self.connection = CommandRelay(access, connection, stack), connection
        self.out, self.err = b"", b""

    async def hear(self, reply: Reply) -> None:
        assert isinstance(reply, CommandChunk)
        if reply.error:
            self.err += reply.data
        else:
            self.out += reply.data

    async def run(self, command: str, given: bytes = b"", file: str = "", seconds: float = 0) -> CommandEnd:
        return await self.relay.run(RunCommand(command, given, file, seconds), self.hear)


def relayed(folder: Path, use: Callable[[Heard], Awaitable[None]]) -> None:
    async def scenario(rig: Rig) -> None:
        async with rig.server() as access, AsyncExitStack() as stack:
            await use(Heard(access, await stack.enter_async_context(connected(access)), stack))

    play(folder, scenario)


def test_a_command_gets_its_input_and_its_output_is_passed_on(tmp_path: Path) -> None:
    content = b"of a file" * 100_000
    (tmp_path / "file").write_bytes(content)

    async def use(it: Heard) -> None:
        assert await it.run("cat; echo oops >&2; exit 3", b"input, ", str(tmp_path / "file")) == CommandEnd(3)
        assert (it.out, it.err) == (b"input, " + content, b"oops\n")

    relayed(tmp_path, use)


def test_what_does_not_read_its_input_may_end(tmp_path: Path) -> None:
    async def use(it: Heard) -> None:
        assert await it.run("exec <&-; exit 4", b"x" * 10_000_000) == CommandEnd(4)

    relayed(tmp_path, use)


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    async def use(it: Heard) -> None:
        assert await it.run("cat", file="/nowhere/x") == CommandEnd(
            None, "/nowhere/x cannot be read: No such file or directory"
        )

    relayed(tmp_path, use)


def test_a_command_has_its_own_time_limit(tmp_path: Path) -> None:
    async def use(it: Heard) -> None:
        assert await it.run("sleep 600", seconds=0.05) == CommandEnd(None, timed_out=True)
        assert await it.run("echo next") == CommandEnd(0)

    relayed(tmp_path, use)


def test_a_connection_that_breaks_is_told_and_made_again(tmp_path: Path) -> None:
    async def use(it: Heard) -> None:
        begun = tmp_path / "begun"
        running = asyncio.create_task(it.run(f"touch {begun}; sleep 600"))
        while not begun.exists():  # a program that is only about to start would outlive the test
            await asyncio.sleep(0.01)
        it.connection._inner.abort()
        assert (await running).why.startswith("the connection broke")
        assert (await it.run("echo no")).why.startswith("the connection broke")
        assert await it.relay.reconnect() == CommandEnd(0)
        assert await it.run("echo again") == CommandEnd(0)
        assert it.out == b"again\n"

    relayed(tmp_path, use)


def test_a_server_that_is_gone_cannot_be_connected_to(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        async with AsyncExitStack() as stack:
            async with rig.server() as access:
                connection = await stack.enter_async_context(connected(access))
            end = await CommandRelay(access, connection, stack).reconnect()
            assert end.code is None
            assert "cannot be reached" in end.why

    play(tmp_path, scenario)


def test_an_output_that_is_held_open_ends_soon_after_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_relay, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(command_relay, "REST_SECONDS", 0.02)

    class Stream:
        def __init__(self, *said: bytes) -> None:
            self.said = [*said]

        async def read(self, _most: int) -> bytes:
            if not self.said:
                await asyncio.Event().wait()
            return self.said.pop(0)

    class Process:
        stdout, stderr, exit_status, returncode = Stream(b"one\n"), Stream(), 0, 0
        stdin = type("In", (), {"write": lambda *_: None, "write_eof": lambda *_: None})()

    heard: list[Reply] = []

    async def hear(reply: Reply) -> None:
        heard.append(reply)

    async def main() -> None:
        async with asyncio.timeout(60):
            assert await command_relay._followed(Process(), b"", None, hear) == 0  # type: ignore[arg-type]

    asyncio.run(main())
    assert heard == [CommandChunk(b"one\n")]
