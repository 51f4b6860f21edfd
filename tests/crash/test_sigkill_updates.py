"""Real SIGKILL of the real command while it changes servers and services in place, and while it changes them back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from batchwright.providers.simulated import World
from batchwright.testing import provider_kill_suite
from tests.crash.test_sigkill import SIM

SERVERS, KILLS = 6, 5
SMALL, BIG = ("1xCPU-2GB", "x", 80), ("2xCPU-4GB", "y", 81)


def workflow(plan: str, team: str, port: int) -> dict[str, Any]:
    """Servers of this plan and label, with nginx on this port."""
    retry = {"max_attempts": 15, "initial_delay": 0.1, "max_delay": 0.5}
    configs = [{"name": f"web-{n}", "plan": plan, "zone": "de-fra1", "labels": {"team": team}} for n in range(SERVERS)]
    up = {"id": "up", "type": "server_batch", "provider": "upcloud", "server_configs": configs, "retry": retry}
    nginx = {"name": "nginx", "variables": {"port": port}}
    web = {"id": "web", "type": "taskserv_batch", "provider": "upcloud", "dependencies": ["up"], "retry": retry}
    operations = [up, {**web, "taskservs": [nginx]}]
    changes = {"replace": "allowed"}
    return {"batch_workflow": {"name": "shop", "version": "1", "operations": operations, "changes": changes}}


def environment(terminal: provider_kill_suite.Terminal) -> dict[str, Any]:
    """What the environment has, without when it was seen."""
    servers = terminal.ask("status", "shop")["resources"]
    return {one["name"]: one for one in servers}


def held(terminal: provider_kill_suite.Terminal) -> dict[str, tuple[str, str, str]]:
    """Each server's reference, plan and label as the cloud has them."""
    world = World(terminal.state / "simulated.db")
    found = {one.name: (one.ref, one.request.plan, one.request.labels["team"]) for one in world.servers()}
    world.close()
    return found


@pytest.mark.long
@pytest.mark.parametrize("seed", range(5))
def test_changes_killed_at_random_end_as_asked_and_go_back(
    seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = provider_kill_suite.Terminal(tmp_path, seed, workflow(*SMALL), {})
    sims = [word for setting in (f"seed={seed}", *SIM) for word in ("--sim", setting)]
    first = terminal.let("run", str(terminal.file), *sims)
    assert first.returncode == 0, first.stderr
    before, there = environment(terminal), held(terminal)
    made = {row["run"] for row in terminal.ask("list")["runs"]}
    terminal.file.write_text(json.dumps(workflow(*BIG)))
    forward = 0
    for _ in terminal.rounds(KILLS):
        begun = terminal.kills
        run = ("run", str(terminal.file), *sims)
        terminal.until("Completed", run, ("resume", "latest"), begun + KILLS - KILLS // 3, over=made)
        forward += terminal.kills - begun
        assert held(terminal) == {name: (ref, BIG[0], BIG[1]) for name, (ref, _, _) in there.items()}
        ports = {one["taskservs"][0]["variables"]["port"] for one in environment(terminal).values()}
        assert ports == {BIG[2]}
        back = ("rollback", "latest", "--yes")
        terminal.until("RolledBack", back, back, begun + KILLS, over=made)
        assert held(terminal) == there
        assert environment(terminal) == before  # I7
    assert terminal.ask("store", "check")["ok"]
    with capsys.disabled():
        print(f"\nseed {seed}: killed {forward} times on the way and {terminal.kills - forward} on the way back")
