"""Servers behind emulated instances: who is wanted, when it is up, and what its first start does."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.emulated_aws import instance

from batchwright.app.system_clock import SystemClock
from batchwright.emulators import backend_reconciler
from batchwright.emulators.aws import AwsAccount, AwsBehaviour, BackedAwsAccount
from batchwright.emulators.aws.backed import SUDO, first_boot
from batchwright.emulators.backend_reconciler import BackendReconciler
from batchwright.errors import ProviderUnavailable
from batchwright.model.call_outcome import Going, ServerState
from batchwright.providers.simulated import Simulated, Simulation, World
from batchwright.providers.user_data import combined

PRIVATE = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"


async def until(look: Callable[[], bool]) -> None:
    for _ in range(6_000):
        if look():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it never came to be so")


def test_an_instance_runs_when_what_is_behind_it_is_ready_and_takes_it_along() -> None:
    account = AwsAccount(AwsBehaviour(boot_seconds=0, shutdown_seconds=0), time.time)
    world, region = World(), account.regions["eu-central-1"]
    behind = Simulated("behind", world, SystemClock(), Simulation(boot_seconds=0.2, answer_seconds=0.0))

    async def scenario() -> None:
        front = BackedAwsAccount(account)
        async with BackendReconciler(behind, front, print).running():
            made = region.run(instance("one"), time.time())
            assert made.state(time.time())[1] == "pending"
            await until(lambda: made.state(time.time())[1] == "running")
            (server,) = world.servers()
            assert (made.public, server.run) == (server.address, front.run)
            region.terminate([made.id], time.time())
            await until(lambda: world.servers() == [])
            region.run(instance("two"), time.time())
            await until(lambda: len(world.servers()) == 1)
        assert [s for s in world.servers(time.time()) if s.state(time.time()) is ServerState.READY] == []

    asyncio.run(scenario())


def test_what_never_goes_does_not_keep_the_emulator_from_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    behind = Simulated("behind", World(), SystemClock(), Simulation(boot_seconds=0.0, answer_seconds=0.0))

    async def refuse(_ref: str) -> Going:
        return Going("it never does")

    async def scenario() -> None:
        account = AwsAccount(AwsBehaviour(boot_seconds=0, shutdown_seconds=0), time.time)
        front = BackedAwsAccount(account)
        async with BackendReconciler(behind, front, print).running():
            made = account.regions["eu-central-1"].run(instance("one"), time.time())
            await until(lambda: made.state(time.time())[1] == "running")
            monkeypatch.setattr(behind, "destroy", refuse)
            monkeypatch.setattr(backend_reconciler, "PATIENCE", 0.0)

    with pytest.raises(ProviderUnavailable, match=r"behind did not remove .* within 0 s"):
        asyncio.run(scenario())


def test_the_first_start_gives_the_host_key_the_user_and_the_script(tmp_path: Path) -> None:
    told = combined("#!/bin/sh\necho 'it''s done'\n", ["ssh-ed25519 BBBB"], PRIVATE, "ssh-ed25519 CCCC", "b")
    script = first_boot(told, "admin", ["ssh-ed25519 AAAA"])
    (tmp_path / "script").write_text(script)
    assert subprocess.run(["sh", "-n", str(tmp_path / "script")], check=False).returncode == 0
    assert "useradd -o -u 0 -g 0 -m -d /opt/admin -s /bin/sh admin" in script
    written = [line for line in script.splitlines() if line.startswith("echo ")]
    contents = [
        subprocess.run(["sh", "-c", line.partition(" > ")[0]], capture_output=True, check=True, text=True).stdout
        for line in written
    ]
    assert contents[0] == PRIVATE
    assert contents[2] == "ssh-ed25519 AAAA\nssh-ed25519 BBBB\n"
    assert contents[3] == "#!/bin/sh\necho 'it''s done'\n"


def test_the_stand_in_for_sudo_runs_the_command(tmp_path: Path) -> None:
    (tmp_path / "sudo").write_text(SUDO)
    for words in (["-n", "true"], ["-H", "-u", "root", "--", "true"], ["-n", "A=b", "true"]):
        assert subprocess.run(["sh", str(tmp_path / "sudo"), *words], check=False).returncode == 0
