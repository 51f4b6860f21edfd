"""Real servers of this machine: what they can do and cannot, how they are stopped, started and lost."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from tests.support.needs import missing
from tests.support.sandboxes import leftovers, need_sandboxes

from batchwright.app.system_clock import SystemClock
from batchwright.model.call_outcome import Created, Gone, Observed, ServerState
from batchwright.model.ids import Token
from batchwright.model.openssh_command import known_hosts, ssh_command
from batchwright.model.workflow import ServerConfig
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.local import cgroups, processes, sandbox_command
from batchwright.providers.local.adapter import Local

PATIENCE = 120.0
LOOK_AROUND = """\
hostname; hostname -i; systemctl is-system-running
cat ~/.ssh/authorized_keys; stat -c %a /tmp; ls -A /home
for path in /proc/sys/kernel/hostname /proc/sys/vm/swappiness /proc/sysrq-trigger /sys/kernel/uevent_helper; do
    sh -c "echo 1 > $path" 2>/dev/null && echo "wrote $path"
done
date -s 2001-01-01 >/dev/null 2>&1 || echo "no clock"
"""


class Site:
    """One state folder's servers."""

    def __init__(self, folder: Path) -> None:
        self.state_dir = folder / "state"
        self.local = Local.connect("local", SystemClock(), {"state_dir": str(self.state_dir)})
        self.refs: list[str] = []

    async def made(self, **more: object) -> Observed:
        """A server that has come up, whatever it came up as."""
        config = ServerConfig(**{"name": "web", "plan": "1xCPU-256MB", "zone": "here", **more})  # type: ignore[arg-type]
        (request,) = await self.local.resolve([config])
        assert isinstance(request, ServerRequest), request
        answer = await self.local.create(request, Token("run", f"token-{config.name}"))
        assert isinstance(answer, Created), answer
        self.refs.append(answer.ref)
        return await self.settled(answer.ref)

    async def settled(self, ref: str) -> Observed:
        """Look until it is not starting any more."""
        until = time.monotonic() + PATIENCE
        while (seen := (await self.local.describe([ref]))[ref]).state is ServerState.STARTING:
            assert time.monotonic() < until, seen
            await asyncio.sleep(0.05)
        return seen

    async def run(self, ref: str, *words: str) -> str:
        """What a command on a server prints; its host key is the one that was made for it, or this fails."""
        access = (await self.local.access([ref]))[ref]
        hosts = self.state_dir / "known_hosts"
        hosts.write_text(known_hosts([access]))
        command = ssh_command(access, str(hosts), ["sh", "-c", *words])
        quiet = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "timeout": PATIENCE}
        done = await asyncio.to_thread(subprocess.run, command, check=False, **quiet)  # type: ignore[call-overload]
        assert done.returncode == 0, done.stderr
        return done.stdout

    async def clean(self) -> None:
        for seen in await self.local.find():
            while await self.local.destroy(seen.ref) != Gone():
                await asyncio.sleep(0.02)


Story = Callable[[Site], Awaitable[None]]


@pytest.fixture
def tell(tmp_path: Path) -> Iterator[Callable[[Story], None]]:
    """Plays a story with real servers; nothing of them may be left."""
    need_sandboxes()
    site = Site(tmp_path)

    def play(story: Story) -> None:
        async def main() -> None:
            await site.local.open()
            try:
                await story(site)
            finally:
                await site.clean()

        asyncio.run(main())

    yield play
    assert leftovers(site.state_dir, site.refs) == []


def test_a_server_is_a_machine_of_its_own_as_far_as_that_goes(tell: Callable[[Story], None]) -> None:
    async def story(site: Site) -> None:
        seen = await site.made(ssh_keys=("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKEYOFAUSER me@here",))
        said = await site.run(seen.ref, LOOK_AROUND)
        assert said.startswith(f"web\n{seen.address}\nrunning\n")
        assert "KEYOFAUSER me@here" in said
        assert "wrote" not in said
        assert "1777\n" in said
        assert said.endswith("no clock\n")
        limits = [
            (group / name).read_text().strip()
            for one in cgroups.here()
            for name in ("memory.limit_in_bytes", "memory.max")
            if (group := cgroups.group_of(one, seen.ref)) and (group / name).exists()
        ]
        assert limits == [str(256 * 1024 * 1024)] or not cgroups.enforces_memory(cgroups.here())

    tell(story)


def test_its_data_survives_a_stop_and_a_start(tell: Callable[[Story], None]) -> None:
    async def story(site: Site) -> None:
        seen = await site.made()
        await site.run(seen.ref, "echo kept > ~/data; echo lost > /run/data")
        await site.local.stop(seen.ref)
        stopped = await site.settled(seen.ref)
        assert stopped.state is ServerState.BROKEN
        assert stopped.fault is not None
        assert "batchwright local start" in stopped.fault.message
        await site.local.start(seen.ref)
        await site.local.start(seen.ref)  # it runs: nothing to do
        again = await site.settled(seen.ref)
        assert (again.state, again.address) == (ServerState.READY, seen.address)
        assert await site.run(seen.ref, "cat ~/data; ls /run/data 2>/dev/null; true") == "kept\n"

    tell(story)


def test_one_that_dies_is_broken_and_says_its_last_words(tell: Callable[[Story], None]) -> None:
    async def story(site: Site) -> None:
        seen = await site.made()
        assert processes.end_all(seen.ref, PATIENCE)
        dead = await site.settled(seen.ref)
        assert dead.state is ServerState.BROKEN
        assert dead.fault is not None
        assert "systemd" in dead.fault.message  # what it says before its journal runs
        await site.local.start(seen.ref)  # what a machine needs that was switched off
        assert (await site.settled(seen.ref)).state is ServerState.READY

    tell(story)


def test_user_data_runs_once_before_it_is_ready_and_its_failure_is_told(tell: Callable[[Story], None]) -> None:
    async def story(site: Site) -> None:
        good, bad = await asyncio.gather(
            site.made(name="good", user_data="#!/bin/sh\nsleep 0.3\necho $(hostname) >> ~root/ran\n"),
            site.made(name="bad", user_data="#!/bin/sh\necho no such luck\nexit 3\n"),
        )
        assert good.state is ServerState.READY
        assert await site.run(good.ref, "cat ~/ran") == "good\n"
        assert bad.state is ServerState.BROKEN
        assert bad.fault is not None
        assert "no such luck" in bad.fault.message
        await site.local.stop(good.ref)
        await site.local.start(good.ref)
        await site.settled(good.ref)
        assert await site.run(good.ref, "cat ~/ran") == "good\n"

    tell(story)


def test_what_user_data_prints_does_not_decide_whether_it_failed(tell: Callable[[Story], None]) -> None:
    """E12: states and logs are different channels."""
    long = "head -c 16000 /dev/zero | tr '\\0' x"

    async def story(site: Site) -> None:
        loud, good = await asyncio.gather(
            site.made(name="loud", user_data=f"#!/bin/sh\n{long}\nexit 7\n"),
            site.made(
                name="good",
                user_data="#!/bin/sh\necho 'ssh.service is not a native service'\n"
                "echo 'batchwright-user-data.service: all went well'\n",
            ),
        )
        assert loud.state is ServerState.BROKEN
        assert loud.fault is not None
        assert loud.fault.code == "USER_DATA"
        assert len(loud.fault.message) < 500
        assert (good.state, good.fault) == (ServerState.READY, None)

    tell(story)


def test_servers_with_networks_of_their_own_may_use_the_same_port(tell: Callable[[Story], None]) -> None:
    async def story(site: Site) -> None:
        one, two = await asyncio.gather(site.made(name="one", network="own"), site.made(name="two", network="own"))
        for seen in (one, two):
            assert seen.state is ServerState.READY
            said = await site.run(
                seen.ref, "ip -brief -4 address show eth0; echo 1 > /proc/sys/net/ipv4/ip_forward; hostname"
            )
            assert f"{seen.address}/16" in said
            assert said.endswith(f"{seen.name}\n")
        knock = f"exec 3<>/dev/tcp/{two.address}/22; head -c 7 <&3"
        assert await site.run(one.ref, f"bash -c {knock!r}") == "SSH-2.0"

    tell(story)


def test_the_second_version_of_control_groups_alone_will_do(
    tell: Callable[[Story], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on most machines of today; here in a view that shows nothing of the first."""
    second = [one for one in cgroups.here() if one.version == 2]
    if not second:
        missing("this machine has no control groups of the second version")
    monkeypatch.setattr(cgroups, "here", lambda: second)
    monkeypatch.setattr(
        sandbox_command, "_control_groups", lambda groups: ["--bind", str(groups[0][0]), "/sys/fs/cgroup"]
    )

    async def story(site: Site) -> None:
        seen = await site.made()
        assert seen.state is ServerState.READY
        said = await site.run(seen.ref, "systemctl is-system-running; stat -fc %T /sys/fs/cgroup; ls /sys/fs/cgroup")
        assert said.startswith("running\ncgroup2fs\n")
        assert "system.slice" in said
        assert (cgroups.group_of(second[0], seen.ref) / "cgroup.procs").read_text() == ""

    tell(story)


def test_a_missing_base_tree_is_a_problem_of_the_pre_flight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_sandboxes()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    async def main() -> None:
        site = Site(tmp_path)
        await site.local.open()
        (answer,) = await site.local.resolve([ServerConfig("web", "1xCPU-1GB", "here")])
        assert isinstance(answer, list)
        (problem,) = answer
        assert problem.code == "base-tree-missing"
        assert "batchwright local base build (" in problem.hint
        (other,) = await site.local.resolve([ServerConfig("web", "1xCPU-1GB", "here", image="debian-13")])
        assert isinstance(other, list)
        assert "batchwright local base build --image debian-13" in other[0].hint
        (unknown,) = await site.local.resolve([ServerConfig("web", "1xCPU-1GB", "here", image="debian-7")])
        assert isinstance(unknown, list)
        assert 'write "debian-12" or "debian-13"' in unknown[0].hint

    asyncio.run(main())


def test_what_a_killed_create_left_before_its_intent_is_cleared_away(tmp_path: Path) -> None:
    need_sandboxes()
    site = Site(tmp_path)
    half = site.state_dir / "local" / "servers" / "local-halfmade2345"
    half.mkdir(parents=True)
    (half / "server.json.new").write_text("{")

    async def main() -> None:
        await site.local.open()
        assert await site.local.find() == []

    asyncio.run(main())
    assert not half.exists()
    assert os.listdir(site.state_dir / "local" / "servers") == []  # noqa: PTH208
