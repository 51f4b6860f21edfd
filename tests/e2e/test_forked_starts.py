"""A process of the command that tests fork is, for who looks from outside, one that was started."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from tests.support import command_fork_server
from tests.support.command_line import COMMAND, PATIENCE, environment

LINES = (["no-such"], ["version", "--json"], ["status", "latest", "--json"])


def answers(folder: Path) -> list[tuple[int, str, str]]:
    how = {"env": environment(folder), "cwd": folder, "capture_output": True, "text": True, "timeout": PATIENCE}
    done = [subprocess.run([*COMMAND, *line], stdin=subprocess.DEVNULL, **how) for line in LINES]  # type: ignore[call-overload]
    return [(one.returncode, one.stdout, one.stderr) for one in done]


def test_it_answers_and_ends_as_a_started_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forked = answers(tmp_path)
    monkeypatch.setattr(subprocess.Popen, "_execute_child", command_fork_server.EXECUTE)
    assert forked == answers(tmp_path)
    assert {code for code, _, _ in forked} == {0, 2}


def test_it_is_a_child_that_can_be_killed(tmp_path: Path) -> None:
    line = [*COMMAND, "serve", "--port", "0"]
    for leads in (False, True):
        with subprocess.Popen(
            line, env=environment(tmp_path), cwd=tmp_path, stdout=subprocess.PIPE, text=True, start_new_session=leads
        ) as process:
            assert process.stdout is not None
            assert "serves http://127.0.0.1:" in process.stdout.readline()
            stat = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
            parent, group, session = map(int, stat[1:4])
            assert parent == os.getpid()
            assert (group, session) == ((process.pid,) * 2 if leads else (os.getpgid(0), os.getsid(0)))
            assert Path(f"/proc/{process.pid}/cwd").readlink() == tmp_path
            process.send_signal(signal.SIGKILL)
            assert process.wait(PATIENCE) == -signal.SIGKILL
