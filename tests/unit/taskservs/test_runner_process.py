"""A child process is heard, its commands are run, and when it dies this is known."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from tests.support.no_commands import no_commands

from batchwright.taskservs.runner import child_process
from batchwright.taskservs.runner.child_process import ChildDied, ChildProcess
from batchwright.taskservs.runner.child_protocol import (
    ChildJob,
    CommandChunk,
    CommandEnd,
    Done,
    Host,
    Reply,
    RunCommand,
    Verb,
)
from batchwright.taskservs.runner.fork_server import ForkServer

Scenario = Callable[["Heard"], Awaitable[None]]
Play = Callable[[Scenario], None]


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    """Its forks are fake children."""
    server = ForkServer("tests.support.fake_child")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
        patch.setenv("AWS_SECRET_ACCESS_KEY", "planted")
        patch.setenv("SSH_AUTH_SOCK", "/run/agent")
        server.start()
    yield server
    server.close()


@pytest.fixture
def play(server: ForkServer, monkeypatch: pytest.MonkeyPatch) -> Play:
    monkeypatch.setattr(child_process, "END_SECONDS", 0.5)

    def play(scenario: Scenario) -> None:
        async def main() -> None:
            await scenario(Heard(server))

        asyncio.run(main())

    return play


class Heard:
    """A server and what was heard of it."""

    def __init__(self, server: ForkServer) -> None:
        self.server = server
        self.told: list[str] = []
        self.child = ChildProcess(server, no_commands(), self.told.append)

    async def run(self, name: str, folder: Path = Path("/")) -> Done:
        async with asyncio.timeout(60):
            host = Host("a", "", "token", "default", {})
            return await self.child.run(ChildJob(name, "1", str(folder), Verb.INSTALL, host))


def test_its_lines_are_told_and_its_answer_is_given(play: Play) -> None:
    async def scenario(heard: Heard) -> None:
        assert await heard.run("answers") == Done(ok=True)
        assert heard.told == ["install answers for a"]

    play(scenario)


@pytest.mark.parametrize(("name", "words"), [
    ("dies", "the runner's process ended with 9: the last words"), ("babbles", "the runner's process ended with 0"),
])  # fmt: skip
def test_one_that_ends_without_an_answer_has_died(play: Play, name: str, words: str) -> None:
    async def scenario(heard: Heard) -> None:
        with pytest.raises(ChildDied, match=words):
            await heard.run(name)

    play(scenario)


def test_its_commands_are_run_one_after_another(play: Play) -> None:
    class Commands:
        async def run(self, asked: RunCommand, hear: Callable[[Reply], Awaitable[None]]) -> CommandEnd:
            await hear(CommandChunk(asked.input))
            await hear(CommandChunk(b"err", error=True))
            return CommandEnd(7) if asked.command == "one" else CommandEnd(None, "lost")

    async def scenario(heard: Heard) -> None:
        heard.child = ChildProcess(heard.server, cast(Any, Commands()), heard.told.append)
        assert await heard.run("runs") == Done(ok=True)
        one, two = CommandEnd(7), CommandEnd(None, "lost")
        expected = ["one: input", "one: err", f"one: {one}", "two: input", "two: err", f"two: {two}"]
        assert heard.told[1:] == expected

    play(scenario)


def test_what_breaks_while_a_command_is_run_is_not_hidden(play: Play) -> None:
    class Commands:
        async def run(self, *_: object) -> CommandEnd:
            raise RuntimeError("a bug")

    async def scenario(heard: Heard) -> None:
        heard.child = ChildProcess(heard.server, cast(Any, Commands()), heard.told.append)
        with pytest.raises(RuntimeError, match="a bug"):
            await heard.run("runs")

    play(scenario)


def test_it_gets_no_credentials_from_the_environment(play: Play) -> None:
    async def scenario(heard: Heard) -> None:
        await heard.run("environment")
        assert "AWS_SECRET_ACCESS_KEY" not in heard.told[-1]
        assert "SSH_AUTH_SOCK" not in heard.told[-1]
        assert "PATH" in heard.told[-1]

    play(scenario)


@pytest.mark.parametrize(
    "said",
    [
        b'{"type":"nothing","text":""}\n',
        b'{"type":"line","text":"\xff"}\n',
        b'{"type":"line","text":"","more":' + b"[" * 50_000 + b"\n",
        b"x" * 4_000 + b"\n",
    ],
    ids=["unknown", "no UTF-8", "too deep", "too long"],
)
def test_one_that_says_what_is_no_message_counts_as_dead(
    play: Play, said: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_process, "WORD_BYTES", 1_000 if said.startswith(b"x") else 1_000_000)
    (tmp_path / "words").write_bytes(b'{"type":"line","text":"first"}\n' + said + b'{"type":"done","ok":true}\n')

    async def scenario(heard: Heard) -> None:
        with pytest.raises(ChildDied):
            await heard.run("says", tmp_path / "words")
        assert heard.told == ["first"]

    play(scenario)


def test_its_last_words_are_shown_without_secrets(play: Play) -> None:
    async def scenario(heard: Heard) -> None:
        heard.child = ChildProcess(
            heard.server, no_commands(), heard.told.append, lambda said: said.replace("last", "***")
        )
        with pytest.raises(ChildDied, match=r"the \*\*\* words"):
            await heard.run("dies")

    play(scenario)
