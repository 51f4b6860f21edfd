"""The whole life of a task service on a real server: installed, used, installed again, removed, and nothing left."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from msgspec import Struct

from batchwright.app.system_clock import SystemClock
from batchwright.model.call_outcome import Applied, Rejected, Unknown
from batchwright.model.scalar import PlainValue
from batchwright.model.secret_reference import SecretReference
from batchwright.operations.taskserv_batch import Cluster, TaskservRequest
from batchwright.secret_resolver import Reveal
from batchwright.taskservs.base import Runner, Target, TaskservCall
from batchwright.taskservs.catalogue import load_catalogue
from batchwright.taskservs.runner import pyinfra_runner
from batchwright.taskservs.runner.ssh_connection import connected
from tests.real.servers import servers
from tests.support.sandboxes import need_sandboxes
from tests.support.shared_fork_server import fork_server

CATALOGUE = load_catalogue()
SECONDS = 600.0  # for a machine that is busy with other tests
Value = PlainValue | SecretReference


class Server(Struct, frozen=True):
    """A server and the runner that works on it. `said` is what the runner was told, line by line."""

    target: Target
    runner: Runner
    said: list[str]

    async def sh(self, script: str) -> str:
        """What a script prints there, which must end well."""
        assert self.target.access is not None
        async with connected(self.target.access) as connection:
            ran = await connection.script(script, SECONDS)
        assert ran.code == 0, f"{script}\n{ran.output}\n{ran.tail}"
        return ran.output.strip()

    async def install(self, request: TaskservRequest, leader: Server | None = None) -> bool:
        """Whether something was changed; it must work."""
        return self._changed(await self.runner.install(request, self.target, self._job(leader)))

    async def remove(self, request: TaskservRequest, leader: Server | None = None) -> bool:
        """Whether something was changed; it must work."""
        return self._changed(await self.runner.remove(request, self.target, self._job(leader)))

    async def is_well(self, request: TaskservRequest) -> bool:
        """Whether every check of it passes now."""
        checks = await self.runner.check(request, self.target)
        assert checks
        return all(check.ok for check in checks)

    def _job(self, leader: Server | None) -> TaskservCall:
        return TaskservCall(
            f"{self.target.name}-job", SECONDS, leader.target if leader is not None else None, self.said.append
        )

    def _changed(self, outcome: Applied | Rejected | Unknown) -> bool:
        assert isinstance(outcome, Applied), "\n".join([*self.said, str(outcome)])
        return outcome.changed


def asked(name: str, cluster: Cluster | None = None, **given: Value) -> TaskservRequest:
    """The request that the planner would make."""
    entry = CATALOGUE[name]
    variables = {
        name: entry.variables[name].settled(value) for name, value in {**entry.defaults("local"), **given}.items()
    }
    return TaskservRequest(name, entry.version, "local", dict(sorted(variables.items())), cluster, entry.digest)


def on_servers(
    folder: Path,
    names: tuple[str, ...],
    scenario: Callable[..., Awaitable[None]],
    secret: str | Reveal = "",
    network: str = "shared",
    image: str | None = None,
) -> None:
    """Play a scenario on fresh servers; every secret is `secret`, or what that reveals at the time."""
    need_sandboxes()

    async def play() -> None:
        runner = pyinfra_runner(
            CATALOGUE,
            CATALOGUE.folders,
            secret if callable(secret) else lambda _: secret,
            SystemClock(),
            fork_server(),
        )
        async with servers(folder, *names, network=network, image=image) as targets:
            await scenario(*(Server(target, runner, []) for target in targets))

    asyncio.run(play())


async def live(
    server: Server,
    request: TaskservRequest,
    use: Callable[[], Awaitable[None]],
    before: dict[str, list[str]] | None = None,
) -> None:
    """Install it, twice; use it; remove it, twice; and compare the server with `before`, else with what it is now."""
    before = before or await traces(server)
    assert await server.install(request)
    assert await server.runner.installed(server.target) == (request.name,)
    await use()
    assert not await server.install(request), "\n".join(server.said)
    assert await server.is_well(request)
    assert await server.remove(request)
    assert await server.runner.installed(server.target) == ()
    assert not await server.remove(request)
    after = await traces(server)
    left = {what: sorted({*after[what]} ^ {*before[what]}) for what in before}
    assert not any(left.values()), f"removed, and different from before: {left}"


async def traces(server: Server) -> dict[str, list[str]]:
    """Packages, services, processes, users' folders and settings: what an install may leave."""
    # tzdata is of the priority "required": only a base tree as small as this one lacks it, and apt never removes it
    scripts = {
        "packages": "dpkg-query -W -f '${Package} ${db:Status-Abbrev}\\n' | grep -v tzdata",
        "failed": "systemctl list-units --failed --plain --no-legend",
        "units": "ls /etc/systemd/system /etc/systemd/system/multi-user.target.wants",
        "processes": "ps -eo comm= | grep -v -e sh -e ps -e grep -e systemd -e sd-pam -e sort | sort -u",
        "settings": "ls /etc /usr/sbin/policy-rc.d 2> /dev/null"
        " | grep -v -e cache -e '-$' -e subuid -e localtime -e timezone",
        "data": "ls /var/lib /var/log /srv /opt | grep -v -e batchwright -e log",
    }
    return {what: (await server.sh(f"{{ {script}; }} || true")).splitlines() for what, script in scripts.items()}
