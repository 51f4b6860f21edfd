"""Real SIGKILL on the Hetzner adapter: the installed command is killed at random over a real emulator process that
loses answers, commits late, lists late and answers 5xx and 429. At the end the project holds exactly what it should: no
duplicate, no orphaned server or key."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from batchwright.testing.emulators.hetzner import TOKEN
from tests.crash.clouds import emulator, look
from tests.crash.test_sigkill import Terminal

SCALE = 0.05
FAULTS = (
    *("lost_answers=0.08", "late_commits=0.08", "late_min=2", "late_max=16", "list_lag=10", "errors=0.04"),
    *("html502=0.03", "throttle=0.02", "read_errors=0.01"),
)
CONFIG = """[hetzner]
settle_seconds = 2.5  # late_max and list_lag are 1.3 s together
poll_seconds = 0.2
rate = 0
"""


def workflow(name: str, servers: int) -> dict[str, object]:
    retry = {"max_attempts": 15, "initial_delay": 0.1, "max_delay": 0.5}
    configs = [{"name": f"{name}-{i:03d}", "plan": "cx23", "zone": "fsn1"} for i in range(servers)]
    batch = {"id": "web", "type": "server_batch", "provider": "hetzner", "server_configs": configs, "retry": retry}
    return {"batch_workflow": {"name": name, "version": "1", "parallel_limit": 16, "operations": [batch]}}


def kill_and_look(folder: Path, seed: int, servers: int, forward: int, back: int) -> tuple[int, str]:
    """The whole story of one run; gives the number of kills, and all of it in a line."""
    with emulator("hetzner", seed, FAULTS, SCALE) as url:
        terminal = Terminal(folder, seed, "filesystem")
        terminal.file.write_text(json.dumps(workflow(f"hz{seed}", servers)))
        terminal.environ |= {"HCLOUD_ENDPOINT": f"{url}/v1", "HCLOUD_TOKEN": TOKEN}
        (folder / "config" / "batchwright").mkdir(parents=True)
        (folder / "config" / "batchwright" / "config.toml").write_text(CONFIG)
        terminal.until("Completed", ("run", str(terminal.file)), ("resume", "latest"), forward)
        made, on_the_way = look(f"{url}/_emulator"), terminal.kills
        assert Counter(one["name"] for one in made["servers"]) == Counter(f"hz{seed}-{i:03d}" for i in range(servers))
        assert len(made["ssh_keys"]) == 1
        undo = ("rollback", "latest", "--yes")
        terminal.until("RolledBack", undo, undo, on_the_way + back)
        left = look(f"{url}/_emulator")
        assert (left["servers"], left["ssh_keys"]) == ([], [])
        assert terminal.ask("store", "check")["ok"]
    faults = {key: n for key, n in left["happened"].items() if "/" not in key}
    back = terminal.kills - on_the_way
    return terminal.kills, f"{servers} servers, killed {on_the_way} times on the way, {back} back; {faults}"


def test_a_run_on_hetzner_killed_at_random_leaves_no_duplicate_and_no_orphan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kills, story = kill_and_look(tmp_path, 0, servers=24, forward=4, back=2)
    assert kills >= 6
    with capsys.disabled():
        print(f"\nHetzner, {story}")


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1, 7))
def test_600_servers_and_at_least_60_kills(seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kills, story = kill_and_look(tmp_path, seed, servers=100, forward=8, back=3)
    assert kills >= 10  # for each of six runs
    with capsys.disabled():
        print(f"\nHetzner, seed {seed}: {story}")
