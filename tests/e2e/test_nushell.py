"""The lines of the documents in the real nu, against the real service."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.command_line import PATIENCE, Command
from tests.support.nushell import ROOT, Nu
from tests.support.service_process import service_process

EXAMPLE = "workflows/example_batch.ncl"
FAST = "--sim {answer_seconds: 0, boot_seconds: 0, install_seconds: 0, destroy_seconds: 0}"
DURATIONS = ("answer_seconds", "boot_seconds", "install_seconds", "destroy_seconds")
SLOW = "--sim {answer_seconds: 0, boot_seconds: 3600, spread: 0}"


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with service_process(tmp_path) as (url, _):
        yield url


@pytest.fixture
def nu(tmp_path: Path, url: str) -> Nu:
    return Nu(tmp_path, url)


def test_the_six_lines_work_as_they_are_written(tmp_path: Path) -> None:
    instant = [word for key in DURATIONS for word in ("--sim", f"{key}=0")]
    with service_process(tmp_path, *instant) as (url, _):
        the_six_lines(Nu(tmp_path, url))


def the_six_lines(nu: Nu) -> None:
    """Submit, monitor, list, status, rollback, stats."""
    run = nu.value(f"batch submit {EXAMPLE}")["id"]
    watched = nu(f"batch monitor {run}")
    assert (watched.returncode, "Completed" in watched.stdout) == (0, True)
    assert nu("batch list --status Running").returncode == 0
    assert nu.value("batch list --status completed | where status == Completed | get id") == [run]
    status = nu.value(f"batch status {run}")
    assert (status["status"], status["progress"]) == ("Completed", "8 of 8 steps done")
    assert [server["name"] for server in status["servers"]] == ["web-01", "web-02"]
    assert nu.value(f"batch rollback {run}")["status"] in ("RollingBack", "RolledBack")
    assert nu.value(f"batch monitor {run} | get status") == "RolledBack"
    stats = nu.value("batch stats")
    assert (stats["runs"], stats["RolledBack"], stats["undone"]) == (1, 1, 8)


def test_the_design_and_the_documents_have_these_lines() -> None:
    text = (ROOT / "docs" / "nushell.md").read_text()
    for line in ("submit workflows/example_batch.ncl", "monitor <workflow_id>", "list --status Running",
                 "status <workflow_id>", "rollback <workflow_id>", "stats"):  # fmt: skip
        assert f'nu -c "use core/nulib/workflows/batch.nu *; batch {line}"' in text


def test_a_run_is_paused_resumed_and_cancelled(nu: Nu) -> None:
    run = nu.value(f"batch submit {EXAMPLE} {SLOW}")["id"]
    assert nu.value(f"batch pause {run[:6]}")["status"] == "Paused"
    assert nu.value(f"batch resume {run}")["status"] == "Running"
    assert nu.value("batch list --status running | get id") == [run]
    assert nu.value(f"batch cancel {run} --force")["id"] == run
    assert f"run {run} is Cancelled" in nu.refused(f"batch monitor {run}")


def test_a_batch_that_fails_fails_the_line(nu: Nu) -> None:
    said = nu.refused(f"batch submit {EXAMPLE} {FAST[:-1]}, fail: web-02}} --watch")
    assert "is Failed: " in said
    assert "upcloud_servers/web-02: " in said
    assert "finish the remaining steps with: batch resume" in said


def test_what_the_service_refuses_is_told_in_its_words(nu: Nu) -> None:
    for word in ("zzz", "not-an-id"):
        assert f"no run's id starts with '{word}', and no environment has that name" in nu.refused(
            f"batch status {word}"
        )
    refused = nu.refused(f"batch submit {EXAMPLE}")
    assert "the pre-flight found 1 problem [plan-refused]" in refused
    assert "UPCLOUD_TOKEN is not set" in refused
    assert "rehearse with --simulate" in refused
    broken = Path(nu.env["HOME"], "broken.ncl")
    broken.write_text((ROOT / EXAMPLE).read_text().replace("parallel_limit = 5", 'parallel_limit = "5"'))
    assert "workflow.ncl:6:22: expected" in nu.refused(f"batch submit {broken}")


def test_a_monitor_lives_through_a_kill_of_the_service(tmp_path: Path) -> None:
    with service_process(tmp_path) as (url, process):
        nu = Nu(tmp_path, url)
        run = nu.value(f"batch submit {EXAMPLE} {SLOW}")["id"]
        watching = subprocess.Popen(
            nu.line(f"batch monitor {run} | get status"), env=nu.env, cwd=ROOT, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        try:
            assert watching.stderr is not None
            assert watching.stderr.readline().startswith("Running: ")
            process.send_signal(signal.SIGKILL)
            process.wait(PATIENCE)
            port = re.search(r":(\d+)", url.removeprefix("http:"))
            assert port is not None
            with service_process(tmp_path, "--port", port.group(1)) as (again, _):
                assert again == url
                assert Command(tmp_path, BATCHWRIGHT_URL=url).json("cancel", run, "--force")["run"] == run
                rest = watching.communicate(timeout=PATIENCE)[1]
        finally:
            watching.kill()
            watching.communicate()
    assert f"run {run} is Cancelled" in rest
    assert len(re.findall(r"^run Cancelled", rest, re.MULTILINE)) == 1


def test_a_token_is_needed_where_there_are_tokens(tmp_path: Path) -> None:
    command = Command(tmp_path, BATCHWRIGHT_STATE_DIR=str(tmp_path / "state"))
    made = command("token", "create", "--role", "viewer").stdout
    token = max(made.split(), key=len)
    with service_process(tmp_path) as (url, _):
        assert "[unauthorized]" in Nu(tmp_path, url).refused("batch list")
        viewer = Nu(tmp_path, url, BATCHWRIGHT_TOKEN=token)
        assert viewer.value("batch list") == []
        assert "[forbidden]" in viewer.refused(f"batch submit {EXAMPLE} --simulate")
