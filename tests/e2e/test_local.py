"""Real servers of this machine, made and taken away by the command as a user types it."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest
from tests.support.command_line import Command
from tests.support.sandboxes import leftovers, need_sandboxes


@pytest.mark.parametrize("servers", [3, pytest.param(50, marks=pytest.mark.long)])
def test_servers_come_up_and_go_away(servers: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = need_sandboxes()
    state, file = tmp_path / "state", tmp_path / "workflow.json"
    batchwright = Command(tmp_path, BATCHWRIGHT_STATE_DIR=str(state), XDG_CACHE_HOME=str(base.parents[2])).json
    configs = [{"name": f"web-{n:02}", "plan": "1xCPU-256MB", "zone": "here"} for n in range(servers)]
    operation = {"id": "web", "type": "server_batch", "provider": "local", "server_configs": configs}
    workflow = {"name": "local_servers", "version": "1", "parallel_limit": servers, "operations": [operation]}
    file.write_text(json.dumps({"batch_workflow": workflow}))
    began = time.monotonic()
    batchwright("run", str(file))
    made = time.monotonic()
    status = batchwright("status", "latest")
    batchwright("local", "stop", "web-00")
    batchwright("local", "start", "web-00")
    folders = list((state / "local" / "servers").iterdir())
    disk = int(subprocess.run(["du", "-sk", *map(str, folders)], capture_output=True, text=True).stdout.split()[0])
    tree = batchwright("local", "base", "show")
    refused = batchwright("local", "base", "remove", code=2)
    going = time.monotonic()
    batchwright("rollback", "latest", "--yes")
    gone = time.monotonic()
    assert status["status"] == "Completed"
    assert len(folders) == servers
    assert {str(folder) for folder in folders} <= set(tree["used_by"])
    assert refused["error"]["code"] == "not-allowed"
    assert leftovers(state, [folder.name for folder in folders]) == []
    with capsys.disabled():
        took = f"{made - began:.1f} s to make, {gone - going:.1f} s to take away"
        print(f"\nlocal: {servers} servers, {took}, {disk // 1024} MB of disk each")
