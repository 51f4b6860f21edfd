"""The units of deploy/systemd, and a service that systemd starts with a socket that listens already."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.support.command_line import COMMAND, PATIENCE, environment
from tests.support.needs import tool

from batchwright.api import systemd
from batchwright.errors import AddressRefused

UNITS = Path(__file__).parents[2] / "deploy" / "systemd"
PASSING = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.argv[2], sys.argv[2:])
"""  # as systemd leaves it to the process


@contextmanager
def started(home: Path, sock: socket.socket, notices: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", PASSING, str(sock.fileno()), *COMMAND, "serve", "--state-dir", str(home / "state")]
    silent = subprocess.DEVNULL
    process = subprocess.Popen(
        command, env=environment(home, NOTIFY_SOCKET=str(notices)), pass_fds=[sock.fileno()], stdout=silent
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(PATIENCE)


def test_a_client_waits_at_the_socket_while_the_service_is_restarted(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        heard.settimeout(PATIENCE)
        url = f"http://127.0.0.1:{sock.getsockname()[1]}/health/live"
        for _ in range(2):
            with socket.create_connection(sock.getsockname()) as early:  # before there is a service
                early.settimeout(PATIENCE)
                early.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                with started(tmp_path, sock, tmp_path / "notify") as process:
                    assert early.recv(15) == b"HTTP/1.1 200 OK"
                    assert heard.recv(100) == b"READY=1"
                    assert urllib.request.urlopen(url, timeout=PATIENCE).status == 200
                    process.send_signal(signal.SIGTERM)
                    assert heard.recv(100) == b"STOPPING=1"
                    assert process.wait(PATIENCE) == 0


def test_a_socket_is_taken_only_if_it_was_passed_to_this_process() -> None:
    environ = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "batchwright.socket"}
    assert systemd.passed_socket(environ) is None
    assert environ == {}


@pytest.mark.parametrize(
    ("count", "kind", "said"),
    [("2", "inet", "2 sockets"), ("1", "unix", "not of TCP"), ("1", "inet", "not a socket that listens")],
)
def test_other_sockets_are_refused(count: str, kind: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    family = socket.AF_UNIX if kind == "unix" else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        passed = os.dup(sock.fileno())
        monkeypatch.setattr(systemd, "FIRST", passed)
        environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": count}
        with pytest.raises(AddressRefused, match=said):
            systemd.passed_socket(environ)
        with suppress(OSError):
            os.close(passed)


def test_a_file_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file:
        monkeypatch.setattr(systemd, "FIRST", file.fileno())
        with pytest.raises(AddressRefused, match="not a socket"):
            systemd.passed_socket({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"})


def test_systemd_reads_the_units_without_a_complaint(tmp_path: Path) -> None:
    analyze = tool("systemd-analyze", "scripts/tools.sh")
    for unit in (*UNITS.glob("*.service"), *UNITS.glob("*.socket")):
        text = unit.read_text()
        installed = re.sub(r"/opt/batchwright/bin/batchwright", sys.executable, text)
        (tmp_path / unit.name.replace("@", "@1")).write_text(installed)
    units = sorted(map(str, tmp_path.iterdir()))
    assert len(units) == 3
    checked = subprocess.run([analyze, "verify", "--man=no", *units], capture_output=True, text=True, check=False)
    about_ours = [line for line in checked.stderr.splitlines() if str(tmp_path) in line or "batchwright" in line]
    assert (checked.returncode, about_ours) == (0, [])
    for unit in (one for one in units if one.endswith(".service")):
        limit = ["security", "--no-pager", "--offline=yes", "--threshold=25", unit]  # tenths: 2.5 of 10 at most
        rated = subprocess.run([analyze, *limit], capture_output=True, text=True, check=False)
        assert rated.returncode == 0, rated.stdout
