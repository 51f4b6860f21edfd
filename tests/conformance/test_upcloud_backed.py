"""Emulated servers with others behind them: kept alike by the port alone, reached with what the create call gave."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

from batchwright.app.system_clock import SystemClock
from batchwright.emulators.backend_reconciler import BackendReconciler
from batchwright.emulators.upcloud import TOKEN, BackedUpCloudAccount, UpCloudBehaviour, UpCloudEmulator, serve
from batchwright.emulators.upcloud.backed import first_boot
from batchwright.model.call_outcome import Created, Gone, ServerState
from batchwright.model.ids import Token
from batchwright.model.openssh_command import known_hosts, ssh_command
from batchwright.model.workflow import ServerConfig
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.base import Provider
from batchwright.providers.local.adapter import Local
from batchwright.providers.simulated import Simulated, Simulation, World
from batchwright.providers.upcloud import UpCloud
from batchwright.providers.upcloud.user_data import combined
from tests.support.sandboxes import leftovers, need_sandboxes

PATIENCE = 120.0
FAST = UpCloudBehaviour(time_scale=0.005)


async def until(look: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await look():
            await asyncio.sleep(0.05)


def play(folder: Path, behind: Provider, scenario: Callable[[UpCloud, list[str]], Awaitable[None]]) -> None:
    async def main() -> None:
        emulator, told = UpCloudEmulator(FAST), list[str]()
        await behind.open()
        async with (
            BackendReconciler(behind, BackedUpCloudAccount(emulator.account), told.append).running(),
            serve(emulator) as url,
        ):
            settings = {"state_dir": str(folder), "settle_seconds": 1.0, "poll_seconds": 0.05}
            environ = {"UPCLOUD_API_URL": url, "UPCLOUD_TOKEN": TOKEN}
            provider = UpCloud("upcloud", SystemClock(), settings, environ)
            await provider.open()
            try:
                await scenario(provider, told)
            finally:
                await provider.aclose()
        assert await behind.find(BackedUpCloudAccount.run) == []
        await behind.aclose()

    asyncio.run(main())


async def ready(provider: UpCloud, name: str, user_data: str | None = None) -> str:
    """Make a server and wait until it is ready."""
    (request,) = await provider.resolve([ServerConfig(name, "1xCPU-1GB", "de-fra1", user_data=user_data)])
    assert isinstance(request, ServerRequest), request
    made = await provider.create(request, Token("run1", name))
    assert isinstance(made, Created)

    async def is_ready() -> bool:
        return (await provider.describe([made.ref]))[made.ref].state is ServerState.READY

    await until(is_ready)
    return made.ref


def test_what_stands_behind_comes_and_goes_with_the_emulated_server(tmp_path: Path) -> None:
    world = World()
    behind = Simulated("local", world, SystemClock(), Simulation.from_settings({"time_scale": 0.02}))

    async def scenario(provider: UpCloud, told: list[str]) -> None:
        ref = await ready(provider, "web")
        (other,) = await behind.find(BackedUpCloudAccount.run)
        assert (await provider.describe([ref]))[ref].address == other.address
        await ready(provider, "kept")

        async def is_gone() -> bool:
            return isinstance(await provider.destroy(ref), Gone)

        async def is_alone() -> bool:
            return [one.name for one in await behind.find(BackedUpCloudAccount.run)] == ["kept"]

        await until(is_gone)
        await until(is_alone)
        assert told == []

    play(tmp_path, behind, scenario)


def test_what_cannot_be_made_behind_it_is_told_and_the_server_stays_in_maintenance(tmp_path: Path) -> None:
    settings = {"time_scale": 0.02, "fail": "web=invalid:1"}
    behind = Simulated("local", World(), SystemClock(), Simulation.from_settings(settings))

    async def scenario(provider: UpCloud, told: list[str]) -> None:
        ref = await ready(provider, "web")  # at the second attempt
        assert (await provider.describe([ref]))[ref].state is ServerState.READY
        (why,) = told
        assert "did not create its backing server" in why

    play(tmp_path, behind, scenario)


def test_the_first_boot_installs_the_host_key_and_then_does_what_the_user_wants() -> None:
    told = combined("#!/bin/sh\necho mine\n", "-----BEGIN\nsecret\n-----END\n", "ssh-ed25519 AAAA", "==x==")
    script = first_boot(told, ["KEY1"])
    assert "<<'KEY'\n-----BEGIN\nsecret\n-----END\nKEY\n" in script
    assert script.index("restart ssh") < script.index("echo mine")
    assert "authorized_keys <<'KEYS'\nKEY1\nKEYS\n" in script
    assert first_boot("", []).splitlines()[2:] == ["umask 077", "mkdir -p ~root/.ssh", "umask 022"]
    subprocess.run(["sh", "-n"], input=script, text=True, check=True)


def test_one_can_log_in_to_an_upcloud_server_that_is_really_one_of_this_machine(tmp_path: Path) -> None:
    need_sandboxes()
    state = tmp_path / "behind"
    behind = Local.connect("local", SystemClock(), {"state_dir": str(state)})

    async def scenario(provider: UpCloud, _: list[str]) -> None:
        ref = await ready(provider, "web-01", "#!/bin/sh\necho it is me > /etc/motd\n")
        way = (await provider.access([ref]))[ref]
        trusted = tmp_path / "known_hosts"
        trusted.write_text(known_hosts([way]))  # the key that the adapter made, before there was a server
        command = ssh_command(way, str(trusted), ["sh", "-c", "hostname; cat /etc/motd"])
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout) == (0, "web-01\nit is me\n"), done.stderr

    play(tmp_path / "client", behind, scenario)
    assert leftovers(state, []) == []
