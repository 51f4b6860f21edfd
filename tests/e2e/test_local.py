"""Real servers of this machine, made and taken away by the command as a user types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.support.sandboxes import leftovers, need_sandboxes

PATIENCE = 900


def batchwright(state: Path, *words: str, code: int = 0) -> dict[str, Any]:
    """The JSON that a command prints."""
    command = [sys.executable, "-m", "batchwright", *words, "--json"]
    environ = {**os.environ, "XDG_CONFIG_HOME": str(state / "config"), "BATCHWRIGHT_STATE_DIR": str(state)}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
    found = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("servers", [3, pytest.param(50, marks=pytest.mark.long)])
def test_servers_come_up_and_go_away(servers: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    need_sandboxes()
    state, file = tmp_path / "state", tmp_path / "workflow.json"
    configs = [{"name": f"web-{n:02}", "plan": "1xCPU-256MB", "zone": "here"} for n in range(servers)]
    operation = {"id": "web", "type": "server_batch", "provider": "local", "server_configs": configs}
    workflow = {"name": "local_servers", "version": "1", "parallel_limit": servers, "operations": [operation]}
    file.write_text(json.dumps({"batch_workflow": workflow}))
    began = time.monotonic()
    batchwright(state, "run", str(file))
    made = time.monotonic()
    status = batchwright(state, "status", "latest")
    batchwright(state, "local", "stop", "web-00")
    batchwright(state, "local", "start", "web-00")
    folders = list((state / "local" / "servers").iterdir())
    disk = int(subprocess.run(["du", "-sk", *map(str, folders)], capture_output=True, text=True).stdout.split()[0])
    tree = batchwright(state, "local", "base", "show")
    refused = batchwright(state, "local", "base", "remove", code=2)
    going = time.monotonic()
    batchwright(state, "rollback", "latest", "--yes")
    gone = time.monotonic()
    assert status["status"] == "Completed"
    assert len(folders) == servers
    assert {str(folder) for folder in folders} <= set(tree["used_by"])
    assert refused["error"]["code"] == "not-allowed"
    assert leftovers(state, [folder.name for folder in folders]) == []
    with capsys.disabled():
        took = f"{made - began:.1f} s to make, {gone - going:.1f} s to take away"
        print(f"\nlocal: {servers} servers, {took}, {disk // 1024} MB of disk each")
