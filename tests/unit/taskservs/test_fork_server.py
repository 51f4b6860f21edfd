"""The fork server: a fork that ends, crashes or hangs concerns no other, and nothing of it outlives its parent."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.command_line import PATIENCE
from tests.support.no_commands import no_commands

from batchwright.taskservs.runner import child_process
from batchwright.taskservs.runner.child_process import ChildDied, ChildProcess
from batchwright.taskservs.runner.child_protocol import ChildJob, Done, Host, Verb
from batchwright.taskservs.runner.fork_server import MODULE, ForkServer

ROOT = Path(__file__).parents[3]
FAKE = "tests.support.fake_child"
SECRET = "pl4nted-" + "in-the-job"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ForkServer]:
    """Its forks are fake children."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(child_process, "END_SECONDS", 0.5)
    with contextlib.closing(ForkServer(FAKE)) as server:
        yield server


class Job:
    """A job for one server, under way. `told` is what its fork has said after its first line."""

    def __init__(self, server: ForkServer, name: str, folder: str = "/") -> None:
        self.told: asyncio.Queue[str] = asyncio.Queue()
        child = ChildProcess(server, no_commands(), self.told.put_nowait)
        host = Host("a", "", "token", "default", {"password": SECRET})
        self._running = asyncio.create_task(child.run(ChildJob(name, "1", folder, Verb.INSTALL, host)))

    async def pids(self) -> list[int]:
        """Its fork's, and that of what the fork has started."""
        async with asyncio.timeout(PATIENCE):
            await self.told.get()
            return [int(pid) for pid in (await self.told.get()).split()]

    async def stop(self) -> None:
        self._running.cancel()
        await asyncio.wait({self._running})

    async def ended(self) -> Done | BaseException:
        async with asyncio.timeout(PATIENCE):
            await asyncio.wait({self._running})
        return self._running.exception() or self._running.result()


def all_end(pids: list[int]) -> bool:
    """Whether these processes end, or have ended."""
    for pid in pids:
        try:
            process = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        poll = select.poll()
        poll.register(process, select.POLLIN)
        ended = poll.poll(PATIENCE * 1000)
        os.close(process)
        if not ended:
            return False
    return True


def pid_of(server: ForkServer) -> int:
    assert server._process is not None
    return server._process.pid


def test_one_that_is_killed_ends_with_what_it_started_and_no_other(server: ForkServer) -> None:
    async def main() -> None:
        hangs, other = Job(server, "hangs"), Job(server, "hangs")
        pids, others = await hangs.pids(), await other.pids()
        first = pid_of(server)
        os.kill(pids[0], signal.SIGKILL)
        ended = await hangs.ended()
        assert isinstance(ended, ChildDied)
        assert "ended with -9" in str(ended)
        assert all_end(pids)
        for pid in others:
            os.kill(pid, 0)
        assert await Job(server, "answers").ended() == Done(ok=True)
        assert pid_of(server) == first
        await other.stop()
        assert await asyncio.to_thread(all_end, others)

    asyncio.run(main())


def test_what_one_has_started_ends_with_it(server: ForkServer) -> None:
    async def main() -> None:
        job = Job(server, "starts")
        pids = await job.pids()
        assert await job.ended() == Done(ok=True)
        assert all_end(pids)

    asyncio.run(main())


def test_a_job_that_is_cancelled_is_killed(server: ForkServer) -> None:
    async def main() -> None:
        job = Job(server, "hangs")
        pids = await job.pids()
        job._running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job._running
        assert await asyncio.to_thread(all_end, pids)

    asyncio.run(main())


def test_a_server_that_dies_takes_its_forks_along_and_another_takes_its_place(server: ForkServer) -> None:
    async def main() -> None:
        jobs = [Job(server, "hangs") for _ in range(2)]
        pids = [await job.pids() for job in jobs]
        os.kill(pid_of(server), signal.SIGKILL)
        for job in jobs:
            ended = await job.ended()
            assert isinstance(ended, ChildDied)
            assert str(ended) == "the runner's process was lost"
        assert all_end([fork for fork, _ in pids])
        for _, started in pids:  # by a fork that nobody could end in order
            os.kill(started, signal.SIGKILL)
        assert await Job(server, "answers").ended() == Done(ok=True)

    asyncio.run(main())


def test_a_closed_server_leaves_nothing(server: ForkServer) -> None:
    async def main() -> None:
        job = Job(server, "hangs")
        pids = [*await job.pids(), pid_of(server)]
        server.close()
        assert isinstance(await job.ended(), ChildDied)
        assert all_end(pids)

    asyncio.run(main())


PARENT = """
import asyncio
from tests.unit.taskservs.test_fork_server import FAKE, ForkServer, Job, pid_of

async def main():
    server = ForkServer(FAKE)
    jobs = [Job(server, "hangs") for _ in range(3)]
    pids = [pid for job in jobs for pid in await job.pids()]
    print(pid_of(server), *pids, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def test_a_parent_that_is_killed_leaves_nothing(server: ForkServer) -> None:
    """The forks hang, and do not see that their input ends."""
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    with parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 7
        parent.kill()
    assert all_end(pids)


def test_a_module_that_cannot_be_loaded_is_named(server: ForkServer) -> None:
    async def main() -> None:
        ended = await Job(ForkServer("tests.support.no_such_module"), "answers").ended()
        assert isinstance(ended, ChildDied)
        assert "No module named 'tests.support.no_such_module'" in str(ended)

    asyncio.run(main())


def holds(pid: int, text: bytes) -> bool:
    """Whether a process has this in its memory."""
    with Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            found = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
            if found is None:
                continue
            begin, end = (int(number, 16) for number in found.groups())
            with contextlib.suppress(OSError):
                memory.seek(begin)
                if text in memory.read(end - begin):
                    return True
    return False


def test_a_secret_never_reaches_the_server(server: ForkServer) -> None:
    async def main() -> None:
        jobs = [Job(server, "hangs") for _ in range(2)]
        forks = [(await job.pids())[0] for job in jobs]
        assert all(holds(fork, SECRET.encode()) for fork in forks)
        assert not holds(pid_of(server), SECRET.encode())
        for job in jobs:
            await job.stop()
        assert not holds(pid_of(server), SECRET.encode())

    asyncio.run(main())


def test_pyinfra_runs_in_three_forks_at_a_time_and_again(tmp_path: Path) -> None:
    (tmp_path / "deploy.py").write_text("import gevent\n\ndef install(v): gevent.sleep(0.01)\n")

    async def main() -> None:
        with contextlib.closing(ForkServer(MODULE)) as server:
            for _ in range(2):
                jobs = [Job(server, "x", str(tmp_path)) for _ in range(3)]
                assert await asyncio.gather(*(job.ended() for job in jobs)) == [Done(ok=True)] * 3

    asyncio.run(main())
