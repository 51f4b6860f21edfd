"""A3: what this machine is short of for a while is waited for; it never leaves a step in doubt."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batchwright import resource_exhaustion
from batchwright.commands.base import Launch
from batchwright.commands.local import LocalCommands
from batchwright.model.call_outcome import Applied, Rejected, Unknown
from batchwright.model.fault import FaultClass
from batchwright.operations.command import CommandRequest
from batchwright.taskservs.runner.child_process import ChildProcess
from batchwright.taskservs.runner.child_protocol import ChildJob, Done, Host, Verb
from batchwright.taskservs.runner.fork_server import ForkServer, NotBegun
from batchwright.testing.virtual_clock import EPOCH
from tests.support.command_line import COMMAND, PATIENCE, environment
from tests.support.no_commands import no_commands

REQUEST = CommandRequest("true", ("/bin/true",))


class SteppingClock:
    """Each wait passes at once; `then` happens in the first of them."""

    def __init__(self, then: Any = lambda: None) -> None:
        self.at, self.waits, self._then = EPOCH, 0, then

    def now(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds
        self.waits += 1
        self._then()
        await asyncio.sleep(0)


@contextlib.contextmanager
def without_descriptors() -> Iterator[list[int]]:
    """None can be opened until those in the list are closed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
    taken: list[int] = []
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        yield taken
    finally:
        give_back(taken)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def give_back(taken: list[int]) -> None:
    while taken:
        os.close(taken.pop())


def launch() -> Launch:
    return Launch("run", "do/run", "mark", tell=lambda _line: None)


def test_a_program_waits_for_descriptors_and_is_started_once_there_are_some(tmp_path: Path) -> None:
    """A3."""

    async def main() -> tuple[object, int]:
        async with asyncio.timeout(PATIENCE):
            (tmp_path / "programs").mkdir()
            with without_descriptors() as taken:
                clock = SteppingClock(lambda: give_back(taken))
                assert not resource_exhaustion.has_room()
                room = await resource_exhaustion.room(clock)
            here = LocalCommands(tmp_path / "programs", clock, dict(os.environ), lambda _one: "")
            return (await here.launch(REQUEST, launch()) if room else None), clock.waits

    assert asyncio.run(main()) == (Applied(), 1)


def test_without_any_for_long_it_is_certain_that_nothing_was_started(tmp_path: Path, monkeypatch: Any) -> None:
    """A3."""
    monkeypatch.setattr(resource_exhaustion, "has_room", lambda: False)
    clock = SteppingClock()
    here = LocalCommands(tmp_path / "programs", clock, dict(os.environ), lambda _one: "")
    outcome = asyncio.run(here.launch(REQUEST, launch()))
    assert isinstance(outcome, Rejected)
    assert outcome.fault.kind is FaultClass.TRANSIENT
    assert list((tmp_path / "programs").iterdir()) == []


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EMFILE, "Too many open files"),
        OSError(errno.ENFILE, "Too many open files in system"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        OSError(errno.EAGAIN, "Resource temporarily unavailable"),
        MemoryError(),
        RuntimeError("can't start new thread"),
    ],
    ids=repr,
)
def test_a_start_that_fails_for_want_of_something_is_tried_again(
    error: Exception, tmp_path: Path, monkeypatch: Any
) -> None:
    """A3: whatever the system is short of."""

    async def refuse(*_words: str, **_how: object) -> None:
        raise error

    monkeypatch.setattr(asyncio, "create_subprocess_exec", refuse)
    here = LocalCommands(tmp_path / "programs", SteppingClock(), dict(os.environ), lambda _one: "")
    outcome = asyncio.run(here.launch(REQUEST, launch()))
    assert isinstance(outcome, Rejected)
    assert outcome.fault.kind is FaultClass.TRANSIENT
    assert list((tmp_path / "programs").iterdir()) == []


def test_a_program_that_was_begun_but_cannot_be_waited_for_is_ended_and_told(tmp_path: Path, monkeypatch: Any) -> None:
    """A3: Python begins the program first, and then opens what it waits with."""
    begun: list[subprocess.Popen[bytes]] = []

    async def begin(*words: str, **how: Any) -> None:
        begun.append(subprocess.Popen(words, **how))
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(asyncio, "create_subprocess_exec", begin)
    here = LocalCommands(tmp_path / "programs", SteppingClock(), dict(os.environ), lambda _one: "")
    request = CommandRequest("sleep", ("/bin/sleep", str(PATIENCE)))
    try:
        outcome = asyncio.run(here.launch(request, launch()))
        assert isinstance(outcome, Unknown)
        assert begun[0].wait(PATIENCE) < 0
    finally:
        begun[0].kill()
        begun[0].wait()


@pytest.mark.parametrize("started", [False, True])
def test_a_runner_without_its_process_has_done_nothing(started: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A3: and it can do it when there are descriptors again."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    job = ChildJob("answers", "", "", Verb.INSTALL, Host("a", "", "", "", {}))

    async def main(server: ForkServer) -> None:
        child = ChildProcess(server, no_commands(), lambda _line: None)
        with without_descriptors(), pytest.raises(NotBegun, match="Too many open files"):
            await child.run(job)
        assert await child.run(job) == Done(ok=True)

    with contextlib.closing(ForkServer("tests.support.fake_child")) as server:
        if started:
            server.start()
        asyncio.run(main(server))


def test_the_soft_limit_is_raised_and_programs_get_the_one_we_were_given(tmp_path: Path) -> None:
    """A3: with the real command, which is given 256 of 4,096."""
    told = tmp_path / "told"
    run = ["sh", "-c", f"sleep 0.1; ulimit -Sn > {told}; grep 'open files' /proc/$PPID/limits >> {told}"]
    _run(tmp_path, [{"id": "look", "type": "command", "run": run}], "ulimit -Sn 256; ulimit -Hn 4096")
    ours, theirs = told.read_text().splitlines()
    assert ours == "256"
    assert theirs.split()[3:5] == ["4096", "4096"]


def test_thirty_commands_share_what_few_descriptors_there_are(tmp_path: Path) -> None:
    """A3: none of them ends in doubt, none fails."""
    operations = [{"id": f"c{i}", "type": "command", "run": ["sleep", "0.3"]} for i in range(30)]
    events = _run(tmp_path, operations, "ulimit -Sn 40; ulimit -Hn 40")
    kinds = [event["type"] for event in events]
    assert kinds.count("step_succeeded") == 30
    assert not {"step_in_doubt", "step_failed", "step_retrying"} & set(kinds)


def _run(home: Path, operations: list[dict[str, Any]], limits: str) -> list[dict[str, Any]]:
    flow = {"name": "few", "version": "1", "parallel_limit": 30, "operations": operations}
    (home / "flow.json").write_text(json.dumps({"batch_workflow": flow}))
    env = environment(home, BATCHWRIGHT_STATE_DIR=str(home / "state"))

    def command(*words: str, before: str = "true") -> str:
        words = ("sh", "-c", f'{before}; exec "$@"', "sh", *COMMAND, *words)
        done = subprocess.run(words, env=env, cwd=home, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    command("run", "flow.json", before=limits)
    told: list[dict[str, Any]] = [json.loads(line) for line in command("events", "latest", "--json").splitlines()]
    return told
