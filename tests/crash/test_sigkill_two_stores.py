"""Two stores, each with a state folder and processes of its own that are killed, use one emulated UpCloud account."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from batchwright.emulators.upcloud import UpCloudBehaviour
from batchwright.testing.provider_kill_suite import LIVES_MAX, Terminal
from tests.support.emulated import Running

SERVERS = 6
SCALE = 0.02
LAG = 30.0  # of the cloud's seconds until a server is listed
CONFIG = f"""[upcloud]
settle_seconds = 2.0
visible_seconds = {LAG * SCALE * 1.5}
poll_seconds = 0.1
rate = 0
"""
FAULTS = {"lost_answers": 0.1, "transient": 0.05, "read_errors": 0.02, "list_lag": LAG}


class Store(threading.Thread):
    """Runs the workflow to its end, with this many kills on the way."""

    def __init__(self, folder: Path, seed: int, environ: dict[str, str], kills: int) -> None:
        super().__init__(daemon=True)
        configs = [{"name": f"web-{i}", "plan": "1xCPU-2GB", "zone": "de-fra1"} for i in range(SERVERS)]
        retry = {"max_attempts": 15, "initial_delay": 0.05, "max_delay": 0.5}
        batch = {"id": "web", "type": "server_batch", "provider": "upcloud", "server_configs": configs, "retry": retry}
        (folder / "config" / "batchwright").mkdir(parents=True)
        (folder / "config" / "batchwright" / "config.toml").write_text(CONFIG)
        workflow = {"batch_workflow": {"name": "web", "version": "1", "operations": [batch]}}
        self.terminal = Terminal(folder, seed, workflow, environ)
        self.kills, self.status = kills, ""

    def run(self) -> None:
        words: Sequence[str] = ("run", str(self.terminal.file))
        for _ in range(LIVES_MAX):
            killed = self.terminal.kills < self.kills and self.terminal.kill_soon(*words)
            said = "" if killed else self.terminal.let(*words).stderr  # one that ended by itself says why
            for row in self.terminal.ask("list")["runs"]:
                words, self.status = ("resume", "latest"), row["status"]
            if self.status in ("Completed", "Failed") or (not self.status and "server-exists" in said):
                return
        raise AssertionError(f"still {self.status or 'not begun'} after {LIVES_MAX} lives: {said}")

    def steps(self) -> list[dict[str, Any]]:
        """Every step of its run."""
        if not self.status:
            return []  # its plan was refused: all names were taken by then
        found: list[dict[str, Any]] = self.terminal.ask("status", "latest", "--steps")["steps"]
        return found


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 10))])
def test_each_name_is_used_by_one_store_at_most(seed: int, tmp_path: Path) -> None:
    behaviour = UpCloudBehaviour(seed=seed, time_scale=SCALE, **FAULTS)
    with Running(behaviour) as running:
        stores = [Store(tmp_path / f"{name}", seed + i, running.environ, kills=3) for i, name in enumerate(("a", "b"))]
        for store in stores:
            store.start()
        for store in stores:
            store.join(500)
            assert not store.is_alive()
        alive = {one["uuid"]: one["title"] for one in running.emulator.account.summary()["servers"]}
    steps = [step for store in stores for step in store.steps()]
    used = {step["ref"] for step in steps if step["state"] == "succeeded"}
    assert set(alive) == used, "what is there is in use, and what was given up is gone"
    assert max(Counter(alive.values()).values(), default=0) <= 1
    for step in steps:
        assert step["state"] == "succeeded" or "created the server" in step["message"], step
    print(f"seed {seed}: {[store.status for store in stores]}, {len(used)} of {SERVERS} names in use, kills "
          f"{[store.terminal.kills for store in stores]}")  # fmt: skip
