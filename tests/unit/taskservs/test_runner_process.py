"""A child process is heard, stopped, and when it dies everybody who waits for it knows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from batchwright.model.ssh_access import SshAccess
from batchwright.taskservs.runner import child_process
from batchwright.taskservs.runner.child_process import ChildDied, ChildProcess, Hearer
from batchwright.taskservs.runner.child_protocol import ChildJob, Done, Host, Verb
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
        server.start()
    yield server
    server.close()


@pytest.fixture
def play(server: ForkServer, monkeypatch: pytest.MonkeyPatch) -> Play:
    monkeypatch.setattr(child_process, "END_SECONDS", 0.5)
    monkeypatch.setattr(child_process, "STOP_SECONDS", 0.5)

    def play(scenario: Scenario) -> None:
        async def main() -> None:
            await scenario(Heard(server))

        asyncio.run(main())

    return play


class Heard:
    """Two servers and what was heard of them."""

    def __init__(self, server: ForkServer) -> None:
        self.server = server
        loop = asyncio.get_running_loop()
        self.told: list[str] = []
        self.first_line = asyncio.Event()
        self.done = {host: loop.create_future() for host in ("a", "b")}
        self.child = ChildProcess(server, {host: Hearer(self._tell, done) for host, done in self.done.items()})

    def _tell(self, line: str) -> None:
        self.told.append(line)
        self.first_line.set()

    async def run(self, name: str, folder: Path = Path("/")) -> None:
        hosts = tuple(Host(host, host, "", SshAccess(""), "token", "default", {}) for host in self.done)
        async with asyncio.timeout(60):
            await self.child.run(ChildJob(name, "1", str(folder), Verb.INSTALL, hosts))


def test_lines_and_answers_go_to_who_wants_them(play: Play) -> None:
    async def scenario(heard: Heard) -> None:
        await heard.run("answers")
        assert heard.told == ["install answers for a, b"]
        assert [future.result() for future in heard.done.values()] == [Done("a", ok=True), Done("b", ok=True)]

    play(scenario)


@pytest.mark.parametrize(("name", "words"), [
    ("dies", "the runner's process ended with 9: the last words"), ("babbles", "the runner's process ended with 0"),
])  # fmt: skip
def test_who_has_no_answer_when_it_ends_is_told_so(play: Play, name: str, words: str) -> None:
    async def scenario(heard: Heard) -> None:
        await heard.run(name)
        with pytest.raises(ChildDied, match=words):
            heard.done["b"].result()
        assert isinstance(heard.done["a"].exception(), ChildDied) is (name == "babbles")

    play(scenario)


def test_a_server_that_nobody_waits_for_any_more_is_not_begun(play: Play) -> None:
    async def scenario(heard: Heard) -> None:
        heard.done["a"].cancel()
        await heard.child.stop("a")  # it has not even been started
        await heard.run("answers")
        assert heard.done["b"].result() == Done("b", ok=True)
        assert heard.told == ["install answers for b"]

    play(scenario)


def test_one_that_is_told_to_let_go_of_a_server_does(play: Play) -> None:
    async def scenario(heard: Heard) -> None:
        running = asyncio.create_task(heard.run("obeys"))
        await heard.first_line.wait()
        await heard.child.stop("b")
        assert not heard.done["a"].done()  # it is alive, and the other server's work goes on
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await heard.child.stop("b")  # it is gone: nothing is left to let go of

    play(scenario)


def test_one_that_does_not_obey_is_killed(play: Play) -> None:
    async def scenario(heard: Heard) -> None:
        running = asyncio.create_task(heard.run("is-deaf"))
        await heard.first_line.wait()
        await heard.child.stop("b")
        await running
        with pytest.raises(ChildDied, match="ended with -9"):
            heard.done["a"].result()
        assert isinstance(heard.done["b"].exception(), ChildDied)

    play(scenario)


def test_it_is_not_given_what_is_none_of_its_business(play: Play) -> None:
    async def scenario(heard: Heard) -> None:
        heard.done["b"].cancel()
        await heard.run("environment")
        assert "AWS_SECRET_ACCESS_KEY" not in heard.told[-1]
        assert "PATH" in heard.told[-1]

    play(scenario)


@pytest.mark.parametrize(
    "said",
    [
        b'{"type":"line","host":"nobody","text":""}\n',
        b'{"type":"line","host":"a","text":"\xff"}\n',
        b'{"type":"line","host":"a","text":"","more":' + b"[" * 50_000 + b"\n",
        b"x" * 4_000 + b"\n",
    ],
    ids=["of no server", "no UTF-8", "too deep", "too long"],
)
def test_one_that_says_what_is_no_message_counts_as_dead(
    play: Play, said: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_process, "WORD_BYTES", 1_000 if said.startswith(b"x") else 1_000_000)
    (tmp_path / "words").write_bytes(b'{"type":"done","host":"a","ok":true}\n' + said)

    async def scenario(heard: Heard) -> None:
        await heard.run("says", tmp_path / "words")
        assert heard.done["a"].result() == Done("a", ok=True)
        assert isinstance(heard.done["b"].exception(), ChildDied)

    play(scenario)


def test_its_last_words_are_made_fit_for_all_who_hear_them(play: Play) -> None:
    async def scenario(heard: Heard) -> None:
        heard.child = ChildProcess(heard.server, heard.child._hearers, lambda said: said.replace("last", "***"))
        await heard.run("dies")
        assert str(heard.done["b"].exception()).endswith("the *** words")

    play(scenario)
