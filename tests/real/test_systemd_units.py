"""The units of deploy/systemd under a real systemd: the service needs nothing that they forbid."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchwright.model.openssh_command import known_hosts, ssh_command
from tests.real.servers import standing
from tests.support.service_in_loop import workflow
from tests.support.wheelhouse import ROOT, fetch_wheels

PATIENCE = 300.0
LOOKS = 300
ASK = """
import sys, urllib.request as r
url, body = sys.argv[1], sys.stdin.read()
asked = r.Request(url, body.encode() or None, {'Content-Type': 'application/json'})
print(r.urlopen(asked, timeout=60).read().decode())
"""
INSTALL = """
set -e
apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
python3 -m venv /opt/batchwright
/opt/batchwright/bin/pip install -q --no-index --find-links /opt/wheels 'batchwright[service]'
install -D -m 644 /opt/units/batchwright.sysusers.conf /etc/sysusers.d/batchwright.conf && systemd-sysusers
cp /opt/units/*.service /opt/units/*.socket /etc/systemd/system/
systemctl daemon-reload && systemctl enable --now batchwright.socket batchwright.service
"""


class Machine:
    """A server, and the port of the service there: it shares the network of this machine."""

    def __init__(self, login: list[str], port: int) -> None:
        self._login, self.port = login, port

    def sh(self, script: str, given: bytes = b"") -> str:
        """What a script prints."""
        done = subprocess.run([*self._login, script], input=given, capture_output=True, timeout=PATIENCE, check=False)
        assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
        return done.stdout.decode()

    def send(self, folder: Path, to: str, port: int) -> None:
        """Copy the files of a folder, with our port in units."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            for path in folder.iterdir():
                held = path.read_bytes()
                if path.suffix == ".socket":
                    held = held.replace(b":9090", f":{port}".encode())
                info = tarfile.TarInfo(path.name)
                info.size = len(held)
                tar.addfile(info, io.BytesIO(held))
        self.sh(f"mkdir -p {to} && tar -C {to} -xf -", packed.getvalue())

    def ask(self, path: str, body: str = "") -> str:
        """Ask the service as its own user."""
        python = f"runuser -u batchwright -- python3 -c \"{ASK}\" 'http://127.0.0.1:{self.port}{path}'"
        return self.sh(python, body.encode())


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = int(sock.getsockname()[1])
    with standing(tmp_path / "state", "ops") as (target,):
        assert target.access is not None
        (tmp_path / "known_hosts").write_text(known_hosts([target.access]))
        yield Machine(ssh_command(target.access, str(tmp_path / "known_hosts")), port)


@pytest.mark.long  # installs it and all it needs on a new server
def test_the_service_works_confined_and_a_request_waits_for_its_restart(machine: Machine, tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    version = "import sys; print('%d.%d' % sys.version_info[:2])"
    fetch_wheels(wheels, machine.sh(f'python3 -c "{version}"').strip(), "service")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels)], cwd=ROOT, check=True)
    machine.send(wheels, "/opt/wheels", machine.port)
    machine.send(ROOT / "deploy" / "systemd", "/opt/units", machine.port)
    machine.sh(INSTALL)
    health = json.loads(machine.ask("/health"))
    assert health["access"]["confined"] == "yes"  # the evaluator of workflows: Landlock and seccomp
    assert machine.sh("stat -c '%U %a' /var/lib/batchwright") == "batchwright 700\n"

    submit = "/v1/workflows/batch/submit?simulate=true&sim=boot_seconds=2&sim=answer_seconds=0.2"
    run = json.loads(machine.ask(submit, json.dumps(workflow("shop", 30))))["run"]
    machine.sh("systemctl restart --no-block batchwright")
    assert json.loads(machine.ask(f"/v1/workflows/batch/{run}"))["run"] == run  # it waited at the socket
    for _ in range(LOOKS):
        view = json.loads(machine.ask(f"/v1/workflows/batch/{run}"))
        if view["status"] == "Completed":
            break
        time.sleep(0.1)  # between two looks
    assert view["status"] == "Completed"
    log = machine.sh("journalctl -u batchwright --no-pager")
    assert "will continue when it is started again" in log
    assert machine.sh("systemctl show -p Result,NRestarts batchwright").split() == ["Result=success", "NRestarts=0"]
