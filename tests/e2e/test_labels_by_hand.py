"""Labels changed in a cloud's console: drift and plan see those that the file names, and a run sets them back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.command_line import Command
from tests.support.emulated import RunningHetzner

from batchwright.emulators.hetzner import HetznerBehaviour

CONFIG = "[hetzner]\nsettle_seconds = 0.1\npoll_seconds = 0.05\nrate = 0\n"


def test_they_are_seen_and_set_back_and_those_of_others_stay(tmp_path: Path) -> None:
    config = tmp_path / "config" / "batchwright"
    config.mkdir(parents=True)
    (config / "config.toml").write_text(CONFIG)
    server = {"name": "web", "plan": "cx23", "zone": "fsn1", "labels": {"tier": "web", "team": "a"}}
    operation = {"id": "up", "type": "server_batch", "provider": "hetzner", "server_configs": [server]}
    workflow = {"name": "shop", "version": "1", "operations": [operation]}
    (tmp_path / "shop.json").write_text(json.dumps({"batch_workflow": workflow}))
    with RunningHetzner(HetznerBehaviour(time_scale=0.001)) as running:
        shell = Command(tmp_path, XDG_CONFIG_HOME=str(config.parent), **running.environ)
        shell("run", "shop.json")
        (there,) = running.emulator.account.summary()["servers"]
        thing = running.emulator.account.one("servers", str(there["id"]))
        own = dict(there["labels"])
        by_hand = {key: value for key, value in own.items() if key != "team"} | {"tier": "db", "cost-centre": "7"}
        thing.asked = thing.asked | {"labels": by_hand}

        told = shell("drift", "shop", code=2).stdout
        assert 'labels are "tier=db" and were asked for as "team=a, tier=web"' in told
        changed = shell("plan", "shop.json", "--exit-code", code=2).stdout
        assert "~ web (hetzner): labels tier=db -> team=a, tier=web" in changed

        shell("run", "shop.json")
        labels: dict[str, Any] = running.emulator.account.summary()["servers"][0]["labels"]
        assert labels == own | {"cost-centre": "7"}
        shell("drift", "shop")
        shell("plan", "shop.json", "--exit-code")
