"""A check with the real command line and a real server on loopback: killed in the midst, resumed, looked at again."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import pytest
from tests.support.command_line import COMMAND, PATIENCE, Command


class Health(BaseHTTPRequestHandler):
    """Busy until `well` is set; `asked` is set by the first request."""

    well, asked = Event(), Event()

    def do_GET(self) -> None:
        self.asked.set()
        self.send_response(200 if self.well.is_set() else 503)
        self.end_headers()
        self.wfile.write(b"ready" if self.well.is_set() else b"warming up")

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    Health.well.clear()
    Health.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Health) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/health"
        server.shutdown()


def test_a_check_waits_for_a_server_and_gates_what_comes_after(url: str, tmp_path: Path) -> None:
    done = tmp_path / "done"
    look = {"id": "web", "type": "check", "http": {"url": url, "contains": "ready"}, "every": 0.1, "times": 2}
    after = {"id": "after", "type": "command", "run": ["touch", str(done)], "dependencies": ["web"]}
    (tmp_path / "flow.json").write_text(
        json.dumps({"batch_workflow": {"name": "shop", "version": "1", "operations": [look, after]}})
    )
    command = Command(tmp_path)
    plan = command("plan", "flow.json")
    assert f'check {url} on this machine: answers 200, with "ready", 2 times in a row' in plan.stdout

    process = subprocess.Popen(
        [*COMMAND, "run", "flow.json"], env=command.env, cwd=tmp_path, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert Health.asked.wait(PATIENCE)
    process.send_signal(signal.SIGKILL)
    process.wait(PATIENCE)
    assert not done.exists()

    Health.well.set()
    assert command("run", "flow.json", "--resume").returncode == 0
    assert done.exists()
    [found] = json.loads(command("check", "shop", "--json").stdout)["checks"]
    assert found == {"step": "web/check", "subject": url, "server": "", "ok": True, "output": "200"}
    Health.well.clear()
    sick = command("check", "shop", code=2)
    assert "503 instead of 200: warming up" in sick.stdout
    assert "not healthy: 1 check" in sick.stdout
