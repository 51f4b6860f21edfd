"""Runs that ask people: without a terminal, on one, left by Ctrl-C, and through a service that is killed."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.command_line import PATIENCE, Command
from tests.support.service_process import service_process

DOCUMENT = (Path(__file__).parents[2] / "docs" / "workflow-file.md").read_text()
SIMULATED = ("--simulate", "--sim", "time_scale=0.01")
LOOKS = 2_400


@pytest.fixture
def command(tmp_path: Path) -> Command:
    section = DOCUMENT.split("## Ask somebody\n")[1].split("\n## ")[0]
    (tmp_path / "canary.ncl").write_text(section.split("```nickel\n")[1].split("```")[0])
    return Command(tmp_path, BATCHWRIGHT_STATE_DIR=str(tmp_path / "state"))


def until(look: Callable[[], Any]) -> Any:
    """What is found, once there is something."""
    for _ in range(LOOKS):
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError("it does not happen")


def asked(command: Command, *words: str) -> dict[str, Any]:
    """The one question that is open."""
    found: dict[str, Any] = until(lambda: command.json("approvals", *words)["approvals"])[0]
    return found


def begun(command: Command) -> subprocess.Popen[str]:
    """A run in the background, without a terminal, that asks."""
    process = command.start("run", "canary.ncl", *SIMULATED, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    asked(command)
    return process


def test_without_a_terminal_it_says_how_to_answer_and_waits(command: Command) -> None:
    process = begun(command)
    question = asked(command, "canary")
    assert question["question"] == "web-1 is there. Create the others?"
    assert question["steps"] == ["rest/web-2", "rest/web-3"]
    shown = command("approvals").stdout
    assert "behind it 2 steps (create 2): rest/web-2, rest/web-3" in shown
    assert "(asks)" in command("list").stdout
    assert "go_wide/ask: web-1 is there" in command("status", question["run"]).stdout
    assert "waits for approval" in command("explain", "latest", "go_wide").stdout
    assert "[approval-outdated]" in command("approve", "canary", "--hash", "0" * 16, code=2).stderr
    assert "approved go_wide/ask" in command("approve", "canary", "--comment", "fine").stdout
    told, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, told
    assert f"batchwright approve {question['run']} go_wide/ask" in told
    assert "[approval-late]" in command("approve", "canary", code=2).stderr
    assert ": fine" in command("events", "latest").stdout


def test_ctrl_c_leaves_the_question_open_and_the_environment_held(command: Command) -> None:
    process = begun(command)
    run = asked(command)["run"]
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 3, told
    assert f"batchwright approve {run}" in told
    assert f"batchwright resume {run}" in told
    view = command.json("status", run)
    assert (view["status"], view["driven"]) == ("Running", False)
    busy = command("run", "canary.ncl", *SIMULATED, code=2).stderr
    assert "waits for an answer, and no process drives it [environment-busy]" in busy
    assert f"answer: batchwright approvals {run}" in busy
    assert f"answer: batchwright approvals {run}" in command("status", "canary").stdout
    said = command("approve", run)
    assert f"batchwright resume {run}" in said.stderr
    command("resume", run)
    assert command.json("status", run)["status"] == "Completed"


def test_a_terminal_is_asked_while_the_run_goes_on(command: Command) -> None:
    leader, follower = pty.openpty()
    env = {**command.env, "TERM": "xterm", "LINES": "24"}
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), follower)
    process = command.start("run", "canary.ncl", *SIMULATED, env=env, **streams)
    os.close(follower)
    answers = [(b"Approve? [y/n]", b"maybe\n"), (b"Please type y or n", b"y\n"), (b"Comment", b"well done\n")]
    drawn = b""
    while process.poll() is None or select.select([leader], [], [], 0)[0]:
        if not select.select([leader], [], [], 0.2)[0]:
            continue
        try:
            drawn += os.read(leader, 65536)
        except OSError:  # how the end of a terminal is told
            break
        if answers and answers[0][0] in drawn:
            os.write(leader, answers.pop(0)[1])
    os.close(leader)
    assert process.wait(PATIENCE) == 0, drawn.decode(errors="replace")
    assert b"rest/web-2, rest/web-3" in drawn
    assert "well done" in command("events", "latest").stdout


def test_an_answer_outlives_a_service_that_is_killed_while_it_asks(tmp_path: Path, command: Command) -> None:
    made = {name: command.json("token", "create", "--role", "operator", "--name", name) for name in ("ada", "grace")}

    def of(name: str, url: str) -> Command:
        return Command(tmp_path, BATCHWRIGHT_URL=url, BATCHWRIGHT_TOKEN=made[name]["token"])

    with service_process(tmp_path) as (url, process):
        ada = of("ada", url)
        ada("submit", "canary.ncl", *SIMULATED)
        run = asked(ada)["run"]
        assert "[approver-refused]" in ada("approve", run, code=2).stderr
        process.kill()
        process.wait(PATIENCE)
    said = command("approve", run)  # by whoever uses this machine, while nobody drives the run
    assert "no process drives run" in said.stderr
    with service_process(tmp_path) as (url, _):
        grace = of("grace", url)
        until(lambda: grace.json("status", run)["status"] == "Completed")
        grace("submit", "canary.ncl", "--env", "second", *SIMULATED)
        second = asked(grace)["run"]
        assert "[approver-refused]" in grace("approve", second, code=2).stderr
        of("ada", url)("approve", second)
        until(lambda: grace.json("status", second)["status"] == "Completed")
        answers = [one for one in grace("events", second).stdout.splitlines() if "approved by" in one]
        assert ["approved by ada" in one for one in answers] == [True]
