"""Commands on real servers of this machine, over SSH: killed for real, ended there, run again, undone."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.command_line import Command
from tests.support.sandboxes import leftovers, need_sandboxes

PATIENCE = 600.0
# Says that it has begun, then how many of its kind run; only from its second start on it ends.
AGAIN = (
    "echo begun >>/tmp/starts; [ $(wc -l </tmp/starts) -gt 1 ] || exec sleep 31415; "
    "echo left $(pgrep -cf '^sleep 31415')"
)


class There:
    """A user with two servers and commands on them."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.command = Command(folder, XDG_CACHE_HOME=str(cache), PLANTED="hunter2-planted")
        self.state, self.file = folder / ".local" / "state" / "batchwright", folder / "flow.json"

    def write(self, *commands: dict[str, Any]) -> None:
        configs = [{"name": name, "plan": "1xCPU-256MB", "zone": "here"} for name in ("one", "two")]
        up = {"id": "up", "type": "server_batch", "provider": "local", "server_configs": configs}
        flow = {"name": "there", "version": "1", "operations": [up, *commands]}
        self.file.write_text(json.dumps({"batch_workflow": flow}))

    def json(self, *words: str) -> dict[str, Any]:
        found = self.command.json(*words)
        assert isinstance(found, dict)
        return found

    def said(self) -> list[tuple[str, str]]:
        """(step, line) of all output so far."""
        events = [json.loads(line) for line in self.command("events", "latest", "--json").stdout.splitlines()]
        return [(one["step"], line) for one in events if one["type"] == "step_output" for line in one["lines"]]

    def killed_once(self, holds: Callable[[dict[str, Any]], bool], *words: str) -> None:
        """SIGKILL as soon as the run is so."""
        process = self.command.start(*words)
        deadline = time.monotonic() + PATIENCE
        try:
            while not (self.json("list")["runs"] and holds(self.json("status", "latest"))):
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()


def both_say_that_they_began(run: dict[str, Any]) -> bool:
    return {one["said"] for one in run["running"]} == {"ready"}


def test_killed_around_programs_on_servers_and_undone(tmp_path: Path) -> None:
    there = There(tmp_path, need_sandboxes().parents[2])
    command = {
        "id": "do", "type": "command", "dependencies": ["up"], "targets": ["up"], "idempotent": True,
        "run": ["sh", "-c", f"echo ready; {AGAIN}; echo $(hostname) $TOKEN"],
        "undo": ["sh", "-c", "echo undo on $(hostname)"], "env": {"TOKEN": {"env": "PLANTED"}},
    }  # fmt: skip
    told = {
        "id": "told", "type": "command", "dependencies": ["do"], "idempotent": True,
        "run": ["sh", "-c", "grep -o '\"name\":\"[a-z]*\"' \"$BATCHWRIGHT_SERVERS\""],
    }  # fmt: skip
    there.write(command, told)
    there.killed_once(both_say_that_they_began, "run", str(there.file))
    run = there.json("resume", "latest")
    said = there.said()
    assert run["status"] == "Completed"
    for name in ("one", "two"):
        mine = [line for step, line in said if step == f"do/{name}"]
        assert mine == ["ready", "ready", "left 0", f"{name} ***"], "the old program ran beside the new one"
    assert [line for step, line in said if step == "told/run"] == ['"name":"one"', '"name":"two"']
    refs = [server["ref"] for server in run["servers"]]
    assert there.json("rollback", "latest", "--yes")["status"] == "RolledBack"
    assert {line for _, line in there.said()} >= {"undo on one", "undo on two"}
    assert leftovers(there.state, refs) == []
    kept = [path.read_bytes() for path in there.state.rglob("*") if path.is_file()]
    assert not any(b"hunter2-planted" in body for body in kept)
