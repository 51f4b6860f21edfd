"""Real SIGKILL on the UpCloud adapter: the installed command is killed at random over a real emulator process that
loses answers, commits late, lists late, answers 5xx and leaves disks and addresses behind. At the end the account holds
exactly what it should: no duplicate, no orphaned server, disk or address."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from batchwright.testing.emulators.upcloud import TOKEN
from tests.crash.clouds import emulator, look
from tests.crash.test_sigkill import Terminal

SCALE = 0.02
FAULTS = (
    *("lost_answers=0.06", "late_commits=0.06", "late_min=5", "late_max=40", "list_lag=30", "errors=0.04"),
    *("html502=0.03", "throttle=0.02", "read_errors=0.01", "keep_addresses=0.1", "left_disks=0.1", "broken=0.02"),
)
CONFIG = """[upcloud]
settle_seconds = 2.5  # late_max and list_lag are 1.4 s together
poll_seconds = 0.2
concurrency = 12
rate = 0
"""
ADDRESSES = 3  # of each server: public and utility IPv4, public IPv6


def workflow(name: str, servers: int) -> dict[str, object]:
    retry = {"max_attempts": 15, "initial_delay": 0.1, "max_delay": 0.5}
    configs = [{"name": f"{name}-{i:03d}", "plan": "1xCPU-2GB", "zone": "de-fra1"} for i in range(servers)]
    batch = {"id": "web", "type": "server_batch", "provider": "upcloud", "server_configs": configs, "retry": retry}
    return {"batch_workflow": {"name": name, "version": "1", "parallel_limit": 16, "operations": [batch]}}


def kill_and_look(folder: Path, seed: int, servers: int, forward: int, back: int) -> tuple[int, str]:
    """The whole story of one run; gives the number of kills, and all of it in a line."""
    with emulator("upcloud", seed, FAULTS, SCALE) as url:
        terminal = Terminal(folder, seed, "filesystem")
        terminal.file.write_text(json.dumps(workflow(f"up{seed}", servers)))
        terminal.environ |= {"UPCLOUD_API_URL": url, "UPCLOUD_TOKEN": TOKEN}
        (folder / "config" / "batchwright").mkdir(parents=True)
        (folder / "config" / "batchwright" / "config.toml").write_text(CONFIG)
        terminal.until("Completed", ("run", str(terminal.file)), ("resume", "latest"), forward)
        made, on_the_way = look(f"{url}/_emulator"), terminal.kills
        assert Counter(one["title"] for one in made["servers"]) == Counter(f"up{seed}-{i:03d}" for i in range(servers))
        alive = Counter(one["uuid"] for one in made["servers"])
        assert Counter(one["server"] for one in made["disks"]) == alive
        assert Counter(one["server"] for one in made["addresses"]) == Counter(dict.fromkeys(alive, ADDRESSES))
        undo = ("rollback", "latest", "--yes")
        terminal.until("RolledBack", undo, undo, on_the_way + back)
        left = look(f"{url}/_emulator")
        assert [left["servers"], left["disks"], left["addresses"]] == [[], [], []]
        assert terminal.ask("store", "check")["ok"]
    faults = {key: n for key, n in left["happened"].items() if "/" not in key}
    return (
        terminal.kills,
        f"{servers} servers, killed {on_the_way} times on the way, {terminal.kills - on_the_way} back; {faults}",
    )


def test_a_run_on_upcloud_killed_at_random_leaves_no_duplicate_and_no_orphan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kills, story = kill_and_look(tmp_path, 0, servers=40, forward=6, back=3)
    assert kills >= 9
    with capsys.disabled():
        print(f"\nUpCloud, {story}")


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1, 7))
def test_600_servers_and_at_least_60_kills(seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kills, story = kill_and_look(tmp_path, seed, servers=100, forward=8, back=3)
    assert kills >= 10  # for each of six runs
    with capsys.disabled():
        print(f"\nUpCloud, seed {seed}: {story}")
