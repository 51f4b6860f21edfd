"""The real command against a real process that emulates AWS, killed at random: with lost answers, late commits, 503s
and list lag nothing is made twice, and nothing of any kind is left over after the run or after its rollback."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.crash.clouds import emulator, look
from tests.crash.test_sigkill import Terminal
from tests.emulated_aws import credentials

FAULTS = (
    *("lost_answers=0.08", "late_commits=0.08", "late_min=0.1", "late_max=0.6", "unavailable=0.05", "list_lag=0.3"),
    *("read_errors=0.02", "boot_seconds=0.4", "shutdown_seconds=0.4", "page_size=20", "rate=0"),
)
CONFIG = "[aws]\nsettle_seconds = 2.5\npoll_seconds = 0.2\nrate = 0\n"
ZONES = ("eu-central-1", "us-east-1a")


def workflow(seed: int, servers: int) -> dict[str, Any]:
    """Half of the servers in each region; those with two disks in one of them."""
    retry = {"max_attempts": 15, "initial_delay": 0.1, "max_delay": 0.5}

    def batch(zone: str, image: str) -> dict[str, Any]:
        configs = [
            {"name": f"kill{seed}-{zone}-{i:03d}", "plan": "t3.micro", "zone": zone, "image": image}
            for i in range(servers // 2)
        ]
        return {"id": zone, "type": "server_batch", "provider": "aws", "server_configs": configs, "retry": retry}

    operations = [batch(ZONES[0], "debian-12"), batch(ZONES[1], "ubuntu-24.04")]
    return {"batch_workflow": {"name": f"kill{seed}", "version": "1", "parallel_limit": 16, "operations": operations}}


def settled(url: str) -> dict[str, Any]:
    """What the account holds once nothing is on its way any more."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        found = look(f"{url}/_emulator/inventory")
        if not found["pending"]:
            return found
        time.sleep(0.1)
    raise AssertionError("something is still on its way after a minute")


def kill_and_look(folder: Path, seed: int, servers: int, kills: int, told: Callable[[str], None]) -> None:
    """The whole story of one run."""
    (folder / "config" / "batchwright").mkdir(parents=True)
    (folder / "config" / "batchwright" / "config.toml").write_text(CONFIG)
    terminal = Terminal(folder, seed, "filesystem")
    terminal.file.write_text(json.dumps(workflow(seed, servers)))
    with emulator("aws", seed, FAULTS) as url:
        terminal.environ |= {**credentials(folder), "AWS_ENDPOINT_URL": url}
        terminal.until("Completed", ("run", str(terminal.file)), ("resume", "latest"), kills * 2 // 3)
        made = settled(url)
        half = servers // 2
        wanted = Counter(f"kill{seed}-{zone}-{i:03d}" for zone in ZONES for i in range(half))
        assert Counter(one["Name"] for one in made["instances"]) == wanted
        assert made["duplicates"] == {}
        assert [len(made[kind]) for kind in ("volumes", "interfaces", "groups", "keys")] == [3 * half, servers, 2, 2]
        forward = terminal.kills
        terminal.until("RolledBack", ("rollback", "latest", "--yes"), ("rollback", "latest", "--yes"), kills)
        left = settled(url)
        kinds = ("instances", "volumes", "interfaces", "groups", "keys")
        assert {kind: left[kind] for kind in kinds} == {kind: [] for kind in kinds}
        assert terminal.kills >= kills
        refused = {code: n for code, n in left["refused"].items() if code != "DryRunOperation"}
        times = f"killed {forward} times on the way and {terminal.kills - forward} on the way back"
        told(f"\naws, seed {seed}: {servers} servers, {times}; {left['calls']['RunInstances']} creates, {refused}")


def test_a_run_on_aws_killed_at_random_leaves_nothing_over(tmp_path: Path) -> None:
    kill_and_look(tmp_path, 1, 40, 10, lambda _: None)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(5))
def test_sixty_kills_over_six_hundred_servers(seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def told(line: str) -> None:
        with capsys.disabled():
            print(line)

    kill_and_look(tmp_path, 100 + seed, 120, 13, told)
