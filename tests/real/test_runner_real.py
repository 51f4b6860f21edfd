"""What is broken off ends on the server too; what was killed converges; secrets stay where they belong. For real."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from batchwright.app.system_clock import SystemClock
from batchwright.model.call_outcome import Applied, Rejected, Unknown
from batchwright.model.fault import FaultClass
from batchwright.model.secret_reference import SecretReference
from batchwright.operations.taskserv_batch import TaskservRequest
from batchwright.taskservs.base import Target, TaskservCall
from batchwright.taskservs.catalogue import Catalogue, read_entry
from batchwright.taskservs.runner import pyinfra_runner
from batchwright.taskservs.runner.ssh_connection import connected
from tests.real.servers import standing
from tests.support.sandboxes import need_sandboxes
from tests.support.shared_fork_server import fork_server

PLANTED = "pl4nted\"s'ecret"
PATIENCE = 60.0

pytestmark = pytest.mark.xdist_group("runner")

METADATA = """\
name: vault
version: "1"
summary: Keeps a secret, and sleeps when it is told to
seconds: 1
variables:
  password: { type: secret, summary: What it keeps }
  nap: { type: integer, default: 0, summary: Seconds of sleep }
  ending: { type: string, default: "true", summary: The command it ends with }
check:
  - { name: kept, retries: 0, run: 'echo "it is $password"; test "$(cat /etc/vault/password)" = "$password"' }
"""
DEPLOY = """\
from io import StringIO
from pyinfra.operations import files, server

def install(v):
    files.directory(name="make the folder", path="/etc/vault", mode="700")
    files.put(name="write it", src=StringIO(v.password), dest="/etc/vault/password", mode="600")
    server.shell(name="show it", commands=["cat /etc/vault/password; echo"])
    if v.nap:
        server.shell(name="sleep", commands=[f"echo asleep; sleep {v.nap} & sleep {v.nap}; echo awake"])
    server.shell(name="end", commands=[v.ending])

def remove(v):
    files.directory(name="remove the folder", path="/etc/vault", present=False)
"""


class Rig:
    """A runner of one entry, servers, and what was told."""

    def __init__(self, folder: Path, targets: tuple[Target, ...]) -> None:
        (folder / "vault").mkdir()
        (folder / "vault/taskserv.yaml").write_text(METADATA)
        (folder / "vault/deploy.py").write_text(DEPLOY)
        catalogue = Catalogue()
        catalogue.add(read_entry(folder / "vault"), folder / "vault")
        self.targets = targets
        self.told: list[str] = []
        self.heard = asyncio.Event()
        self.runner = pyinfra_runner(catalogue, catalogue.folders, lambda _: PLANTED, SystemClock(), fork_server())

    def install(self, target: Target, *, seconds: float = PATIENCE, **variables: Any) -> asyncio.Task[Any]:
        request = TaskservRequest(
            "vault", "1", "default", {"password": SecretReference(env="X"), "nap": 0, "ending": "true", **variables}
        )
        job = TaskservCall(f"token-{target.name}", seconds, None, self._tell)
        return asyncio.get_running_loop().create_task(self.runner.install(request, target, job))  # type: ignore[arg-type]

    def _tell(self, line: str) -> None:
        self.told.append(line)
        if line == "asleep":
            self.heard.set()

    async def asleep(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await self.heard.wait()
        self.heard.clear()

    async def sleepers(self, target: Target) -> int:
        """Processes on the server that the deploy began."""
        assert target.access is not None
        async with connected(target.access) as connection:
            ran = await connection.script(
                "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -c 'slee[p] 30'", 30
            )
        return int(ran.output)


@pytest.fixture(scope="module")
def state_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the servers are kept."""
    return tmp_path_factory.mktemp("servers")


@pytest.fixture(scope="module")
def targets(state_dir: Path) -> Iterator[tuple[Target, ...]]:
    """Three servers for all tests here. What is left on them is what the next install puts right."""
    need_sandboxes()
    with standing(state_dir, "one", "two", "three") as targets:
        yield targets


@pytest.fixture
def it(tmp_path: Path, targets: tuple[Target, ...]) -> Rig:
    return Rig(tmp_path, targets)


def forks() -> list[int]:
    """The forks of the fork servers of this process."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if b"taskservs.runner.fork_server" in (entry / "cmdline").read_bytes():
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    return [pid for pid, parent in parents.items() if parents.get(parent) == os.getpid()]


def test_what_takes_too_long_or_is_cancelled_ends_on_the_server_too(it: Rig) -> None:
    async def main() -> None:
        target = it.targets[0]
        answer = await it.install(target, seconds=6.0, nap=301)
        assert isinstance(answer, Rejected)
        assert answer.fault.kind is FaultClass.TIMEOUT
        assert await it.sleepers(target) == 0
        it.heard.clear()
        task = it.install(target, nap=302)
        await it.asleep()
        assert await it.sleepers(target) > 0
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await it.sleepers(target) == 0
        assert await it.install(target) == Applied(changed=True)

    asyncio.run(main())


def test_a_killed_child_leaves_its_work_unknown_and_doing_it_again_converges(it: Rig) -> None:
    async def main() -> None:
        target = it.targets[0]
        task = it.install(target, nap=303)
        await it.asleep()
        (child,) = forks()
        os.kill(child, signal.SIGKILL)
        assert isinstance(await task, Unknown)
        assert await it.sleepers(target) > 0  # nobody has told the server
        assert isinstance(await it.install(target), Applied)
        assert any("processes left by an earlier attempt" in line for line in it.told), it.told
        assert await it.sleepers(target) == 0

    asyncio.run(main())


def test_each_server_has_its_own_answer(it: Rig) -> None:
    async def main() -> None:
        one, two, three = it.targets
        answers = await asyncio.gather(
            it.install(one), it.install(two, ending="echo it broke; false"), it.install(three, seconds=8.0, nap=304)
        )
        assert answers[0] == Applied(changed=True)
        assert isinstance(answers[1], Rejected)
        assert answers[1].fault.message == "vault: end\nit broke"
        assert isinstance(answers[2], Rejected)
        assert answers[2].fault.kind is FaultClass.TIMEOUT
        assert await it.sleepers(three) == 0
        assert await it.runner.installed(one) == ("vault",)
        assert await it.runner.installed(two) == ()

    asyncio.run(main())


@pytest.fixture
def command_lines() -> Iterator[Callable[[], set[bytes]]]:
    """Every command line of this machine that has held the secret meanwhile; sandboxes are seen too."""
    found: set[bytes] = set()
    looks = 0
    over = threading.Event()

    def look() -> None:
        nonlocal looks
        while not over.wait(0.001):
            looks += 1
            for entry in Path("/proc").glob("[0-9]*"):
                try:
                    line = (entry / "cmdline").read_bytes()
                except OSError:
                    continue
                if b"pl4nted" in line:
                    found.add(line)

    def seen() -> set[bytes]:
        assert looks > 0
        return found

    thread = threading.Thread(target=look)
    thread.start()
    yield seen
    over.set()
    thread.join()


def test_a_secret_is_told_nowhere_and_stands_in_its_own_file_only(
    it: Rig, state_dir: Path, tmp_path: Path, command_lines: Callable[[], set[bytes]]
) -> None:
    async def main() -> None:
        target = it.targets[0]
        assert isinstance(await it.install(target), Applied)
        assert "***" in it.told
        broken = await it.install(target, ending="echo changed > /etc/vault/password")
        assert isinstance(broken, Rejected)
        assert broken.fault.message == "vault: the check kept fails: it is ***"
        assert isinstance(await it.install(target), Applied)
        assert not any("pl4nted" in line for line in it.told)
        holding = [path for folder in (tmp_path, state_dir) for path in folder.rglob("*") if _holds(path)]
        assert {path.parts[-3:] for path in holding} == {("etc", "vault", "password")}
        assert {path.stat().st_mode & 0o777 for path in holding} == {0o600}

    asyncio.run(main())
    assert command_lines() == set()


def _holds(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and b"pl4nted" in path.read_bytes()


def test_a_system_that_an_entry_does_not_know_is_refused_before_anything_is_done(it: Rig, tmp_path: Path) -> None:
    async def main() -> None:
        metadata = tmp_path / "vault/taskserv.yaml"
        metadata.write_text(METADATA + 'platforms: [{ os: plan9, release: ["4"] }]\n')
        catalogue = Catalogue()
        catalogue.add(read_entry(tmp_path / "vault"), tmp_path / "vault")
        it.runner = pyinfra_runner(catalogue, catalogue.folders, lambda _: PLANTED, SystemClock(), fork_server())
        answer = await it.install(it.targets[0])
        assert isinstance(answer, Rejected)
        assert answer.fault.message == "vault cannot be installed on debian 12, only on plan9 4"
        wrong_key = it.targets[0].access
        assert wrong_key is not None
        other = replace(wrong_key, host_keys=("ssh-ed25519 " + "A" * 68,))
        answer = await it.install(replace(it.targets[0], access=other))
        assert isinstance(answer, Rejected)
        assert answer.fault.code == "host-key-mismatch"

    asyncio.run(main())
