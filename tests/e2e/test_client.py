"""The command line against the real service: the same verbs, the same answers as from the local store."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.support.command_line import COMMAND, PATIENCE, Command, environment
from tests.support.service_process import service_process

from batchwright.client.discovery import DEFAULT_URL

INSTANT = ("--sim", "time_scale=0")
BRIEF = ("--sim", "boot_seconds=0.3", "--sim", "install_seconds=0.3", "--sim", "answer_seconds=0")
SLOW = ("--sim", "boot_seconds=3600", "--sim", "answer_seconds=0", "--sim", "destroy_seconds=0", "--sim", "spread=0")


pytestmark = pytest.mark.xdist_group("client")  # they share a service


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    servers = '[{ name = "%{inputs.name}-%{std.to_string n}", plan = "1xCPU-2GB", zone = inputs.zone }]'
    (folder / "servers.ncl").write_text("fun n => [n]")
    (folder / "shop.ncl").write_text(
        f"""{{
  inputs = {{ zone | default = "de-fra1", name | default = "web" }},
  batch_workflow = {{
    name = "shop", version = "1.0.0",
    operations = [
      {{ id = "web", type = "server_batch", provider = "upcloud",
        server_configs = (import "servers.ncl") 1 |> std.array.flat_map (fun n => {servers}) }},
      {{ id = "cache", type = "taskserv_batch", provider = "aws", dependencies = ["web"], taskservs = ["redis"] }}
    ]
  }}
}}"""
    )
    (folder / "big.ncl").write_text("{ batch_workflow.parallel_limit = 77 }")
    return folder


@pytest.fixture(scope="module")
def url(home: Path) -> Iterator[str]:
    with service_process(home) as (url, _):
        yield url


@pytest.fixture
def command(home: Path, url: str) -> Command:
    return Command(home, BATCHWRIGHT_URL=url)


@pytest.fixture(scope="module")
def done(home: Path, url: str) -> str:
    """A run that is Completed."""
    command = Command(home, BATCHWRIGHT_URL=url)
    view = command.json(
        "submit", "shop.ncl", *INSTANT, "--overlay", "big.ncl", "--set", "zone=us-nyc1", "--set", "name=done", "--watch"
    )
    assert (view["status"], view["parallel_limit"], view["servers"][0]["zone"]) == ("Completed", 77, "us-nyc1")
    return str(view["run"])


def test_a_submitted_run_is_watched_to_its_end(command: Command) -> None:
    told = command("submit", "shop.ncl", *INSTANT, "--watch")
    lines = told.stdout.splitlines()
    assert lines[0].startswith("run ")
    assert [line.split("  ")[-1] for line in lines[1:3]] == ["run started", "web/web-1: started"], told.stdout
    made = r"web/web-1: succeeded \(upcloud-\d+, 198\.18\.0\.\d+\)$"  # whatever was made in this service before
    assert re.search(made, lines[3]), told.stdout
    assert "  2 of 2 steps done" in told.stdout
    assert told.stderr.splitlines()[0] == f"service {command.env['BATCHWRIGHT_URL']}"


@pytest.mark.parametrize(
    "args",
    [
        ("list",),
        ("list", "--status", "completed", "--name", "SHOP", "--limit", "1"),
        ("status", "RUN"),
        ("status", "RUN", "--steps"),
        ("events", "RUN"),
        ("explain", "RUN", "done-1"),
        ("stats",),
        ("stats", "--since", "1h"),
        ("rollback", "RUN", "--plan"),
    ],
)
def test_the_service_says_what_the_local_store_says(home: Path, url: str, done: str, args: tuple[str, ...]) -> None:
    args = tuple(done if word == "RUN" else word for word in args)
    remote = Command(home)(*args, "--url", url)
    local = Command(home)(*args, "--state-dir", str(home / "state"))
    assert without_moment(remote.stdout) == without_moment(local.stdout) != ""
    documents = [Command(home)(*args, "--json", *where).stdout.splitlines()
                 for where in (("--url", url), ("--state-dir", str(home / "state")))]  # fmt: skip
    for ours, theirs in zip(*documents, strict=True):
        assert without_time(json.loads(ours)) == without_time(json.loads(theirs))


def without_moment(text: str) -> str:
    return re.sub(r"since [\d-]+ [\d:]+", "since then", text)


def without_time(value: dict[str, object]) -> dict[str, object]:
    """A window of time begins at another moment each time."""
    return {key: one for key, one in value.items() if key != "since"}


def until(command: Command, run: str, status: str) -> None:
    """Look until the process that drives the run has done what it was asked for."""
    for _ in range(6_000):
        view = command.json("status", run)
        if view["status"] == status:
            return
        time.sleep(0.02)
    raise AssertionError(f"{run} is {view['status']}, not {status}")


def test_pause_resume_cancel_and_rollback(command: Command) -> None:
    run = command.json("submit", "shop.ncl", *SLOW, "--set", "name=slow")["run"]
    assert command.json("pause", run)["asked"] == "pause"
    until(command, run, "Paused")
    assert command.json("resume", run)["asked"] == "resume"
    watching = subprocess.Popen(
        [*COMMAND, "monitor", run, "--json"], env=command.env, cwd=command.home, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert watching.stdout is not None
        assert json.loads(watching.stdout.readline())["status"] == "Running"
        assert "asked the process that drives run" in command("cancel", run, "--force").stdout
        last = watching.communicate(timeout=PATIENCE)[0].splitlines()[-1]
    finally:
        watching.kill()
        watching.communicate()
    assert (json.loads(last)["status"], watching.returncode) == ("Cancelled", 3)
    lines = command("monitor", run, "--json", code=3).stdout.splitlines()
    assert [json.loads(line)["status"] for line in lines] == ["Cancelled", "Cancelled"]
    assert command("monitor", run, code=3).stdout.startswith("shop 1.0.0")
    assert command.json("rollback", run, "--yes")["status"] == "RolledBack"
    refused = command("resume", run, code=2)
    assert f"run {run} is RolledBack" in refused.stderr


def test_a_run_that_fails_gives_exit_code_1(command: Command) -> None:
    failing = ("--sim", "fail=bad-1", *INSTANT, "--set", "name=bad")
    view = command.json("submit", "shop.ncl", *failing, "--watch", code=1)
    assert view["status"] == "Failed"
    assert command("monitor", view["run"], code=1).stdout.count("failed") > 0


def test_on_a_terminal_a_run_is_a_picture(command: Command) -> None:
    ours, theirs = pty.openpty()
    with (command.home / "errors").open("w") as errors:
        process = subprocess.Popen(
            [*COMMAND, "submit", "shop.ncl", *BRIEF, "--set", "name=seen", "--watch"], cwd=command.home,
            env={**command.env, "TERM": "xterm"}, stdin=subprocess.DEVNULL, stdout=theirs, stderr=errors,
        )  # fmt: skip
    os.close(theirs)
    shown = b"".join(iter(lambda: read(ours), b"")).decode()
    assert process.wait(PATIENCE) == 0, (command.home / "errors").read_text()
    os.close(ours)
    assert "\x1b[2K" in shown  # the picture was drawn over
    assert re.search(r"[━─]+ \d of 2 steps done", shown)
    assert "to remove what it created" in shown


def read(terminal: int) -> bytes:
    """What is shown; nothing more when the other side is closed."""
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


def test_mistakes_are_found_here_and_refusals_are_told_in_full(command: Command) -> None:
    (command.home / "bad.ncl").write_text('{ batch_workflow = { name = "x" } }')
    bad = command("submit", "bad.ncl", "--url", "http://127.0.0.1:1", code=1)
    assert "bad.ncl:1:" in bad.stderr
    refused = command.json("submit", "shop.ncl", code=1)
    assert refused["error"]["code"] == "plan-refused"
    assert any(one["code"] == "provider-unavailable" for one in refused["error"]["diagnostics"])


def test_a_service_that_is_named_and_not_there_is_an_error(home: Path) -> None:
    command = Command(home, BATCHWRIGHT_URL="http://127.0.0.1:1", BATCHWRIGHT_STATE_DIR=str(home / "state"))
    for args in (("list",), ("status", "latest"), ("submit", "shop.ncl"), ("rollback", "latest", "--yes")):
        gone = command(*args, code=2)
        assert "error: no service can be reached at http://127.0.0.1:1" in gone.stderr
        assert gone.stdout == ""


def test_submit_needs_a_service(home: Path, tmp_path: Path) -> None:
    alone = Command(home, BATCHWRIGHT_STATE_DIR=str(tmp_path))("submit", "shop.ncl", "--simulate", code=2)
    assert f"none at {DEFAULT_URL} uses {tmp_path}" in alone.stderr
    assert "batchwright run shop.ncl --simulate" in alone.stderr


def complete(env: dict[str, str], words: str) -> list[str]:
    asked = {**env, "_BATCHWRIGHT_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = subprocess.run(
        COMMAND, env=asked, cwd=env["HOME"], capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_words_are_offered(home: Path, url: str, done: str) -> None:
    for env in (environment(home, BATCHWRIGHT_URL=url), environment(home, BATCHWRIGHT_STATE_DIR=str(home / "state"))):
        assert done in complete(env, "batchwright status ")
        assert complete(env, f"batchwright explain {done[:6]}") == [done]
    env = environment(home)
    assert complete(env, "batchwright list --status Roll") == ["RollingBack", "RolledBack", "RollbackIncomplete"]
    assert "shop.ncl" in complete(env, "batchwright submit s")
    assert complete(env, "batchwright submit sta") == ["state/"]


def test_nothing_is_offered_and_nothing_said_where_something_is_wrong(home: Path, tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_text("no database")
    for env in (environment(home, BATCHWRIGHT_URL="http://127.0.0.1:1"), environment(home, BATCHWRIGHT_URL="nonsense"),
                environment(home, BATCHWRIGHT_STATE_DIR=str(tmp_path))):  # fmt: skip
        assert complete(env, "batchwright status ") == []


def test_what_validate_prints_can_be_submitted(command: Command) -> None:
    workflow = command.json("validate", "shop.ncl")["workflow"]
    (command.home / "evaluated.json").write_bytes(msgspec.json.encode({"batch_workflow": workflow}))
    assert command.json("validate", "evaluated.json")["workflow"] == workflow
