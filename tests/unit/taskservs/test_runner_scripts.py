"""The shell that servers are given, run here: only what is marked is ended, and a variable is never a command."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.examples import share

from batchwright.model.taskserv import HttpAnswer, TaskservCheck, TcpPort
from batchwright.taskservs.runner.shell_snippets import CHECKING, end_marked, list_installed, told, with_environment

PATIENCE = 60
LOOKS = 60_000  # at something that is bound to happen


def run(text: str) -> subprocess.CompletedProcess[str]:
    """As the runner does: through standard input, in braces."""
    body = f"{{\n{text}\n}} </dev/null 2>&1\n"
    return subprocess.run(["sh", "-s"], input=body, capture_output=True, text=True, timeout=PATIENCE, check=False)


def test_only_processes_with_the_mark_are_ended() -> None:
    token = f"tok-{os.getpid()}"
    command = ["sleep", "600"]
    marked = subprocess.Popen(command, env={**os.environ, "BATCHWRIGHT_STEP": token})
    stubborn = subprocess.Popen(
        ["sh", "-c", f"export BATCHWRIGHT_STEP={token} && trap '' TERM && echo ready && while :; do sleep 600; done"],
        stdout=subprocess.PIPE,
        text=True,
    )
    others = [subprocess.Popen(command, env={**os.environ, "BATCHWRIGHT_STEP": other}) for other in (f"{token}x", "")]
    try:
        assert stubborn.stdout is not None
        assert stubborn.stdout.readline() == "ready\n"
        children = Path(f"/proc/{stubborn.pid}/task/{stubborn.pid}/children")
        for _ in range(LOOKS):
            if children.read_text():  # its sleep has begun
                break
            time.sleep(0.001)
        done = run(end_marked(token))
        assert (done.returncode, done.stdout) == (0, "ended 3\n")  # with the stubborn one's own sleep
        assert marked.wait(PATIENCE) == -15
        assert stubborn.wait(PATIENCE) == -9
        assert [other.poll() for other in others] == [None, None]
        assert run(end_marked(token)).stdout == "ended 0\n"
    finally:
        for process in (marked, stubborn, *others):
            process.kill()
            process.wait()
        if stubborn.stdout is not None:
            stubborn.stdout.close()


@settings(max_examples=share(25), deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=60))
def test_a_variable_arrives_as_it_is(value: str) -> None:
    done = subprocess.run(
        ["sh", "-s"],
        input=with_environment({"it": value}, 'printf %s "$it"; exit 0\n').encode(),
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.stdout == value.encode()


def test_what_is_told_is_what_it_prints_and_its_errors_only_when_it_fails() -> None:
    fine = run(told("echo warning >&2; echo value"))
    assert (fine.returncode, fine.stdout) == (0, "value\n")
    failed = run(told("echo half; echo broken >&2; exit 7"))
    assert (failed.returncode, failed.stdout) == (7, "half\nbroken\n")


def test_what_is_there_is_listed_by_its_probe(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    probes = {"here": f"test -e {tmp_path}/there", "not-here": f"test -e {tmp_path}/gone", "exits": "exit 0 # at once"}
    assert run(list_installed(probes)).stdout.split() == ["exits", "here"]


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health?full=1" else 404)
        self.end_headers()
        self.wfile.write(f"{self.headers['Host']} is fine".encode())

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.server_port
        server.shutdown()


def looked(check: TaskservCheck, port: int) -> subprocess.CompletedProcess[str]:
    return run(with_environment({"port": str(port), "bind": "127.0.0.1"}, CHECKING + check.script))


def test_a_check_over_http_is_well_with_the_wanted_answer(port: int) -> None:
    url = "http://$bind:$port/health?full=1"
    for contains in ("", "127.0.0.1:$port is fine"):
        assert looked(TaskservCheck("a", http=HttpAnswer(url, contains=contains)), port).returncode == 0
    assert looked(TaskservCheck("a", http=HttpAnswer("http://$bind:$port", 404)), port).returncode == 0
    for wanted in (HttpAnswer(url, 204), HttpAnswer(url, contains="Server")):  # a header is not the body
        done = looked(TaskservCheck("a", http=wanted), port)
        assert done.returncode == 1
        assert "is fine" in done.stdout
        assert f"GET http://127.0.0.1:{port}/health?full=1 gave 200; expected: {wanted.status}" in done.stdout


def test_a_check_of_a_port_is_well_if_it_accepts(port: int) -> None:
    assert looked(TaskservCheck("a", tcp=TcpPort("$bind", "$port")), port).returncode == 0
    for check in (TaskservCheck("a", tcp=TcpPort("$bind", 1)), TaskservCheck("a", http=HttpAnswer("http://$bind:1/"))):
        done = looked(check, port)
        assert done.returncode == 1
        assert "Connection refused" in done.stdout


def test_a_text_of_a_check_is_never_a_command(port: int, tmp_path: Path) -> None:
    hostile = f'$(touch {tmp_path}/a)`touch {tmp_path}/b`"; touch {tmp_path}/c; "'
    assert looked(TaskservCheck("a", http=HttpAnswer("http://$bind:$port/", 404, hostile)), port).returncode == 1
    assert list(tmp_path.iterdir()) == []
