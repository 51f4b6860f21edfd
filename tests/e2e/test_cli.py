"""Whole commands, as a person and as a script use them; in processes of their own where one is killed or watched."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import subprocess
import termios
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.command_line import PATIENCE, Command, Done

pytestmark = pytest.mark.usefixtures("own_start")
INSTANT = ["--sim", "time_scale=0"]
SLOW = ["--sim", "boot_seconds=3600", "--sim", "answer_seconds=0", "--sim", "destroy_seconds=0", "--sim", "spread=0"]


class Shell(Command):
    """A user with a state folder and a workflow file."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, BATCHWRIGHT_STATE_DIR=str(folder / "state"), COLUMNS="80")
        self.file = folder / "shop.json"
        self.write()

    def write(self, **changes: Any) -> None:
        """The workflow file: two servers, then redis on both."""
        web = {"id": "web", "type": "server_batch", "provider": "upcloud", "server_configs": [
            {"name": name, "plan": "1xCPU-2GB", "zone": "de-fra1"} for name in ("web-01", "web-02")
        ]}  # fmt: skip
        cache = {"id": "cache", "type": "taskserv_batch", "provider": "aws", "dependencies": ["web"],
                 "taskservs": ["redis"]}  # fmt: skip
        workflow = {"name": "shop", "version": "1.0.0", "parallel_limit": 5, "operations": [web, cache], **changes}
        self.file.write_text(json.dumps({"batch_workflow": workflow}))

    def __call__(self, *words: str, code: int | None = None) -> Done:
        done = super().__call__(*words, code=code)
        assert "display failed" not in done.stderr
        return done

    def watch(self, *words: str) -> subprocess.Popen[str]:
        """In the background; killed when it takes too long, so that reading from it ends."""
        process = self.start(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        watchdog = threading.Timer(PATIENCE, process.kill)
        watchdog.daemon = True
        watchdog.start()
        return process


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.fixture
def slow_run(shell: Shell) -> Iterator[subprocess.Popen[str]]:
    """A run whose servers are made and will not be ready for an hour."""
    process = shell.watch("run", "shop.json", *SLOW)
    try:
        wait_for(process, "web/web-02: started")
        yield process
    finally:
        process.kill()
        process.communicate(timeout=PATIENCE)


def wait_for(process: subprocess.Popen[str], words: str, stream: str = "stdout") -> str:
    """Read until a line holds the words."""
    source = getattr(process, stream)
    for line in source:
        if words in line:
            return str(line)
    raise AssertionError(f"it ended without saying {words!r}: {process.communicate(timeout=PATIENCE)}")


# -- a run from file to end -------------------------------------------------------------------------------------------


def test_validate_says_yes_or_where_the_mistake_is(shell: Shell) -> None:
    good = shell("validate", "shop.json")
    assert (good.returncode, good.stdout) == (0, "shop.json is valid: shop 1.0.0, 2 operations\n")
    assert shell.json("validate", "shop.json")["workflow"]["name"] == "shop"
    shell.write(parallel_limit="many")
    bad = shell("validate", "shop.json")
    assert bad.returncode == 1
    assert bad.stderr.startswith("shop.json:1:")
    answer = shell.json("validate", "shop.json", code=1)
    assert (answer["ok"], answer["workflow"]) == (False, None)
    assert set(answer["diagnostics"][0]) >= {"file", "line", "column", "severity", "code", "message", "hint"}
    assert shell("validate", "missing.json").returncode == 2


def test_plan_changes_nothing_and_gives_the_hash_that_run_takes(shell: Shell) -> None:
    shown = shell("plan", "shop.json", *INSTANT)
    assert shown.returncode == 0
    assert "+ web-01 and web-02 (upcloud): plan 1xCPU-2GB, zone de-fra1" in shown.stdout
    steps = shell("plan", "shop.json", *INSTANT, "--steps").stdout
    assert "create server web-01: plan 1xCPU-2GB, zone de-fra1" in steps
    assert "undo: destroy server web-01" in steps
    answer = shell.json("plan", "shop.json", *INSTANT)
    assert (answer["ok"], len(answer["plan"]["steps"])) == (True, 4)
    assert answer["plan"]["difference"]["+"] == 4
    assert shell.json("list")["runs"] == []
    refused = shell("run", "shop.json", *INSTANT, "--plan-hash", "0123")
    assert refused.returncode == 1
    assert "[plan-changed]" in refused.stderr
    assert "batchwright plan with the same options" in refused.stderr
    assert shell("run", "shop.json", *INSTANT, "--plan-hash", answer["plan"]["hash"]).returncode == 0


def test_the_exit_code_of_a_plan_says_whether_a_run_would_change_anything(shell: Shell) -> None:
    plan = ("plan", "shop.json", *INSTANT)
    assert [shell(*plan, "--exit-code").returncode, shell(*plan).returncode] == [2, 0]
    assert shell("run", "shop.json", *INSTANT).returncode == 0
    unchanged = shell(*plan, "--exit-code")
    assert (unchanged.returncode, "nothing to change: = 4" in unchanged.stdout) == (0, True)
    assert shell(*plan, "--exit-code", "--reinstall", "all").returncode == 2
    for wrong in (("missing.json",), ("shop.json", "--no-such-option"), ("shop.json", "--markdown", "--json")):
        refused = shell("plan", "--exit-code", *wrong)
        assert (refused.returncode, bool(refused.stderr or "error" in refused.stdout)) == (1, True)
    assert shell("plan", "missing.json").returncode == 2
    assert shell(*plan, "--markdown").stdout.startswith("### Plan of `shop` `1.0.0`\n")


def test_a_run_explains_itself_and_is_rolled_back(shell: Shell) -> None:
    run = shell("run", "shop.json", *INSTANT)
    assert run.returncode == 0
    lines = run.stdout.splitlines()
    own = next(line.removeprefix("run ") for line in lines if line.startswith("run "))
    assert "Completed in" in run.stdout
    assert f"to remove what it created: batchwright rollback {own}" in lines[-1]
    assert any("servers" in line and "web-01" in line and "upcloud de-fra1" in line for line in lines)
    status = shell.json("status", own[:4])
    assert (status["status"], status["done"], status["total"]) == ("Completed", 4, 4)
    assert len(shell.json("status", "latest", "--steps")["steps"]) == 4
    preview = shell.json("rollback", "latest", "--plan")
    assert [undo["what"] for undo in preview["undo"]].count("destroy") == 2
    assert shell.json("status", "latest")["status"] == "Completed"
    unasked = shell("rollback", "latest")  # stdin is no terminal: nobody to ask
    assert (unasked.returncode, "Then add --yes." in unasked.stderr) == (2, True)
    rolled_back = shell("rollback", "latest", "--yes")
    assert rolled_back.returncode == 0
    assert "RolledBack in" in rolled_back.stdout
    assert shell("rollback", "latest", "--yes").returncode == 2


def test_a_run_as_json_is_one_document(shell: Shell) -> None:
    view = shell.json("run", "shop.json", *INSTANT)
    assert (view["status"], view["servers_more"], len(view["servers"])) == ("Completed", 0, 2)


def test_a_refused_plan_starts_nothing(shell: Shell) -> None:
    server = {"name": "a", "plan": "no-such-plan", "zone": "de-fra1"}
    shell.write(operations=[{"id": "web", "type": "server_batch", "provider": "upcloud", "server_configs": [server]}])
    refused = shell("run", "shop.json", *INSTANT)
    assert refused.returncode == 1
    assert "no-such-plan" in refused.stderr
    assert "error: the pre-flight found 1 problem [plan-refused]" in refused.stderr
    answer = shell.json("run", "shop.json", *INSTANT, code=1)
    assert answer["error"]["diagnostics"][0]["code"] == "unknown-plan"
    assert shell.json("list")["runs"] == []


def test_a_failed_run_says_why_and_how_to_go_on(shell: Shell) -> None:
    failed = shell("run", "shop.json", *INSTANT, "--sim", "fail=web-02=invalid")
    assert failed.returncode == 1
    assert "web/web-02: invalid: " in failed.stdout
    assert "2 because operation web did not succeed" in failed.stdout
    explanation = shell.json("explain", "latest", "web-01/redis")
    assert explanation["state"] == "skipped"
    assert explanation["chain"][-2]["step"] == "web/web-02"
    assert "web/web-02: failed" in shell("explain", "latest", "web-01/redis").stdout
    misspelt = shell("explain", "latest", "web-03")
    assert misspelt.returncode == 2
    assert "Did you mean web/web-0" in misspelt.stderr
    assert shell("resume", "latest").returncode == 1  # the plan still holds the fault
    assert shell.json("stats")["by_status"] == {"Failed": 1}


def test_events_are_lines(shell: Shell) -> None:
    shell("run", "shop.json", *INSTANT)
    records = [json.loads(line) for line in shell("events", "latest", "--json").stdout.splitlines()]
    assert [record["seq"] for record in records] == list(range(1, len(records) + 1))
    assert (records[0]["type"], records[-1]["type"], records[-1]["status"]) == ("run_created", "run_ended", "Completed")
    told = shell("events", "latest", "--follow").stdout.splitlines()
    assert len(told) == len(records)
    assert told[-1].endswith("run Completed")


def test_lists_and_offers(shell: Shell) -> None:
    shell("run", "shop.json", *INSTANT)
    assert len(shell.json("list", "--status", "COMPLETED", "--name", "SHO")["runs"]) == 1
    assert shell.json("list", "--status", "running")["runs"] == []
    unknown = shell("list", "--status", "done")
    assert unknown.returncode == 2
    assert "The states are: Pending, Running" in unknown.stderr
    assert "simulated" in [offer["name"] for offer in shell.json("providers")["providers"]]
    assert "redis" in [entry["name"] for entry in shell.json("taskservs")["taskservs"]]
    assert shell.json("taskservs", "show", "redis")["name"] == "redis"
    assert shell("taskservs", "show", "reddis").stderr.startswith("error: there is no task service 'reddis'")


def test_the_state_folder_is_named_or_the_environments(shell: Shell) -> None:
    assert shell("run", "shop.json", *INSTANT, "--state-dir", "elsewhere").returncode == 0
    assert shell.json("list")["runs"] == []
    assert len(shell.json("list", "--state-dir", "elsewhere")["runs"]) == 1


# -- a run that goes on while others look -----------------------------------------------------------------------------


def test_another_process_pauses_resumes_and_cancels(shell: Shell, slow_run: subprocess.Popen[str]) -> None:
    assert shell.json("list", "--status", "running")["runs"][0]["driven"] is True
    assert shell.json("pause", "latest")["asked"] == "pause"
    wait_for(slow_run, "run paused")
    view = shell.json("status", "latest")
    assert (view["status"], view["running"][0]["doing"]) == ("Paused", "created, waiting until it is ready")
    assert shell.json("resume", "latest")["asked"] == "resume"
    wait_for(slow_run, "run resumed")
    held = shell("resume", "latest")
    assert held.returncode == 2
    assert f"batchwright monitor {view['run']}" in held.stderr
    assert shell.json("cancel", "latest", "--force")["asked"] == "cancel"
    assert slow_run.wait(PATIENCE) == 3
    assert shell("rollback", "latest", "--yes", "--json").returncode == 0


def test_monitor_follows_until_the_end(shell: Shell, slow_run: subprocess.Popen[str]) -> None:
    watching = shell.watch("monitor", "latest", "--json")
    try:
        assert watching.stdout is not None
        assert json.loads(watching.stdout.readline())["status"] == "Running"
        shell("cancel", "latest", "--force")
        rest = [json.loads(line) for line in watching.communicate(timeout=PATIENCE)[0].splitlines()]
        assert rest[-1]["status"] == "Cancelled"
        assert watching.returncode == 3
    finally:
        watching.kill()


def test_a_killed_run_is_told_apart_and_goes_on(shell: Shell, slow_run: subprocess.Popen[str]) -> None:
    watching = shell.watch("events", "latest", "--follow")
    wait_for(watching, "web/web-02: created as")
    slow_run.kill()
    slow_run.wait(PATIENCE)
    _, told = watching.communicate(timeout=PATIENCE)
    assert watching.returncode == 3
    assert "no process drives this run" in told
    view = shell.json("status", "latest")
    assert (view["status"], view["driven"]) == ("Running", False)
    assert view["next"].endswith(f"batchwright resume {view['run']}")
    assert "no process drives it" in shell("list").stdout
    paused = shell("pause", "latest")
    assert (paused.returncode, "[not-allowed]" in paused.stderr) == (2, True)
    beside = shell("run", "shop.json", *SLOW)
    assert (beside.returncode, "[environment-busy]" in beside.stderr) == (2, True)
    assert f"batchwright resume {view['run']}" in beside.stderr
    again = shell.watch("run", "shop.json", *SLOW, "--resume")
    try:
        assert view["run"] in wait_for(again, "continuing it")
        wait_for(again, "(fence 2)")
    finally:
        again.kill()
        again.communicate(timeout=PATIENCE)
    assert shell("rollback", "latest", "--yes").returncode == 0


def test_ctrl_c_once_cancels_twice_leaves(shell: Shell, slow_run: subprocess.Popen[str]) -> None:
    slow_run.send_signal(signal.SIGINT)
    wait_for(slow_run, "cancelling: nothing new starts", "stderr")
    wait_for(slow_run, "cancel requested")  # it is in the journal
    slow_run.send_signal(signal.SIGINT)
    left = wait_for(slow_run, "left: run ", "stderr")
    assert "2 in flight" in left
    assert "continue with: batchwright resume " in left
    assert slow_run.wait(PATIENCE) == 130
    view = shell.json("status", "latest")
    assert (view["status"], view["driven"], view["cancelling"]) == ("Running", False, "graceful")


def test_sigterm_leaves_at_once(shell: Shell, slow_run: subprocess.Popen[str]) -> None:
    slow_run.send_signal(signal.SIGTERM)
    assert slow_run.wait(PATIENCE) == 130
    assert shell.json("status", "latest")["driven"] is False


def test_going_on_with_a_file_that_was_changed_is_told(shell: Shell) -> None:
    """C12: the recorded plan is applied, and that is said."""
    process = shell.watch("run", "shop.json", "--sim", "boot_seconds=4")
    wait_for(process, "run started")
    process.kill()
    process.communicate(timeout=PATIENCE)
    shell.write(parallel_limit=4)
    told = shell("run", "shop.json", "--simulate", "--resume")
    assert "shop.json, or an option given with it, has changed since run" in told.stderr
    assert "batchwright cancel" in told.stderr
    assert [run["status"] for run in shell.json("list")["runs"]] == ["Completed"]


# -- pipes and terminals ----------------------------------------------------------------------------------------------


def test_a_reader_that_leaves_ends_it_quietly(shell: Shell) -> None:
    shell("run", "shop.json", *INSTANT)
    process = shell.watch("events", "latest")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert process.wait(PATIENCE) == 0
    process.stderr.close()


def on_terminal(shell: Shell, *args: str, typed: bytes = b"") -> tuple[int, str]:
    """The exit code and all that was drawn on a terminal of 80 by 24."""
    leader, follower = pty.openpty()
    env = {**shell.env, "TERM": "xterm", "LINES": "24"}
    process = shell.start(*args, env=env, stdin=follower, stdout=follower, stderr=follower)
    os.close(follower)
    os.write(leader, typed)
    drawn = b""
    try:
        while chunk := os.read(leader, 65536):
            drawn += chunk
    except OSError:  # how the end of a terminal is told
        pass
    finally:
        os.close(leader)
    return process.wait(PATIENCE), drawn.decode(errors="replace")


def test_a_terminal_shows_a_picture_then_a_summary(shell: Shell) -> None:
    code, drawn = on_terminal(shell, "run", "shop.json", "--sim", "time_scale=0.3")
    assert code == 0
    assert "display failed" not in drawn
    assert "of 4 steps done" in drawn
    assert "Completed in" in drawn


def test_a_rollback_asks_on_a_terminal(shell: Shell) -> None:
    shell("run", "shop.json", *INSTANT)
    code, drawn = on_terminal(shell, "rollback", "latest", typed=b"n\n")
    assert code == 3
    assert "Undo 2 servers? [y/N]" in drawn
    assert "nothing was changed" in drawn
    assert shell.json("status", "latest")["status"] == "Completed"
    assert on_terminal(shell, "rollback", "latest", typed=b"y\n")[0] == 0
    assert shell.json("status", "latest")["status"] == "RolledBack"


def _of_its_own() -> None:
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_a_picture_is_not_written_into_by_the_terminal(shell: Shell) -> None:
    """C12: no `^C` in the picture, and the terminal is afterwards as it was."""
    leader, follower = pty.openpty()
    before = termios.tcgetattr(follower)
    env = {**shell.env, "TERM": "xterm", "LINES": "24"}
    process = shell.start(
        *("run", "shop.json", "--sim", "boot_seconds=5"),
        env=env,
        stdin=follower,
        stdout=follower,
        stderr=follower,
        preexec_fn=_of_its_own,
    )
    watchdog = threading.Timer(PATIENCE, process.kill)
    watchdog.start()
    drawn, asked = b"", False
    while process.poll() is None or select.select([leader], [], [], 0)[0]:
        if not select.select([leader], [], [], 0.2)[0]:
            continue
        drawn += os.read(leader, 65536)
        if not asked and b"of 4 steps done" in drawn:
            asked = True
            os.write(leader, b"\x03")
    watchdog.cancel()
    after = termios.tcgetattr(follower)
    os.close(leader)
    os.close(follower)
    assert process.returncode == 3
    assert b"cancelling" in drawn
    assert b"^C" not in drawn
    assert after == before
