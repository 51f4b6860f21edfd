"""C9, C10: streams that are closed, full or no longer read, widths that mean nothing, no home, nothing to write to."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.support.command_line import environment, run_in_process

from batchwright import user_home
from batchwright.app.settings import settings_from
from batchwright.app.unwritable_store_copy import copied, is_read_only
from batchwright.cli.output import out
from batchwright.errors import UsageError

ROOT = os.geteuid() == 0
ECHO = {"id": "say", "type": "command", "run": ["echo", "hello"]}
SERVERS = {
    "id": "web", "type": "server_batch", "provider": "upcloud",
    "server_configs": [{"name": f"web-{i}", "plan": "1xCPU-2GB", "zone": "de-fra1"} for i in range(3)],
}  # fmt: skip


class Shell:
    """Runs shell lines in which `bw` is the command, and types those whose streams do not matter in this process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = environment(folder, BATCHWRIGHT_STATE_DIR=str(folder / "state"))
        for name, operation in (("echo", ECHO), ("web", SERVERS)):
            flow = {"batch_workflow": {"name": name, "version": "1", "operations": [operation]}}
            (folder / f"{name}.json").write_text(json.dumps(flow))

    def __call__(self, line: str, **env: str) -> subprocess.CompletedProcess[str]:
        script = f'bw() {{ "{sys.executable}" -m batchwright "$@"; }}; {line}'
        done = subprocess.run(
            ["bash", "-c", script], cwd=self.folder, env={**self.env, **env}, capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip
        assert "[bug]" not in done.stderr + done.stdout, done.stderr
        assert "Traceback" not in done.stderr
        assert "Exception ignored" not in done.stderr
        return done

    def here(self, line: str, **env: str) -> str:
        """What it prints, which must end well."""
        done = run_in_process(line.split(), {**self.env, **env}, self.folder)
        assert done.returncode == 0, done
        return done.stdout

    def runs(self) -> list[dict[str, Any]]:
        found = json.loads(self.here("list --json"))["runs"]
        return [dict(one) for one in found]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_no_terminal(shell: Shell, closed: str) -> None:
    """C9: and no file of ours takes its place, so that what is printed never lands in a store."""
    assert shell(f"bw run echo.json {closed}").returncode == 0
    assert [run["status"] for run in shell.runs()] == ["Completed"]
    shell.here("store check")


def test_a_full_disk_under_stdout_ends_no_run(shell: Shell) -> None:
    """C9: the work goes on, and the exit code and stderr tell that the output is not whole."""
    done = shell("bw run echo.json >/dev/full")
    assert done.returncode == 2
    assert "not all of the output could be written: No space left on device" in done.stderr
    assert shell("bw list --json >/dev/full").returncode == 2
    assert shell("bw run echo.json >/dev/full 2>/dev/full").returncode == 2
    assert [run["status"] for run in shell.runs()] == ["Completed", "Completed"]


@pytest.mark.parametrize(("head", "words"), [("head -1", ""), ("true", "--json")])
def test_a_run_whose_reader_leaves_goes_on(shell: Shell, head: str, words: str) -> None:
    """C10: to its end, with its own exit code."""
    line = f"bw run web.json --sim time_scale=0 {words} | {head} >/dev/null; exit ${{PIPESTATUS[0]}}"
    assert shell(line).returncode == 0
    assert [run["status"] for run in shell.runs()] == ["Completed"]
    line = f"bw rollback latest --yes {words} 2>&1 | {head} >/dev/null; exit ${{PIPESTATUS[0]}}"
    assert shell(line).returncode == 0
    assert [run["status"] for run in shell.runs()] == ["RolledBack"]


def test_a_failed_run_whose_reader_leaves_tells_that_it_failed(shell: Shell) -> None:
    """C10"""
    (shell.folder / "bad.json").write_text((shell.folder / "echo.json").read_text().replace('"echo"', '"false"'))
    assert shell("bw run bad.json | true; exit ${PIPESTATUS[0]}").returncode == 1


def test_looking_ends_quietly_when_nobody_reads(shell: Shell) -> None:
    """C10"""
    shell.here("run echo.json")
    for verb in ("events latest", "monitor latest", "logs latest say"):
        done = shell(f"bw {verb} | true; exit ${{PIPESTATUS[0]}}")
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("columns", ["0", "-5", "", "wide", "\u00b2", "99999999999", "1", "4", "999999"])
def test_a_width_that_means_nothing_is_80(monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    """C9"""
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("LINES", columns)
    assert (out().width, out().height) == (80, 25)


def test_nothing_is_lost_where_the_width_means_nothing(shell: Shell) -> None:
    """C9"""
    shell.here("run echo.json")
    told = shell.here("list", COLUMNS="80")
    assert "echo 1" in told
    assert shell.here("list", COLUMNS="0") == told


@pytest.mark.parametrize("unset", [{}, {"HOME": ""}, {"HOME": "somewhere"}])
def test_without_home_the_password_database_says_it(unset: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """C9"""
    monkeypatch.setattr("pwd.getpwuid", lambda _: SimpleNamespace(pw_dir="/somewhere/ada"))
    assert settings_from(unset).state_dir == Path("/somewhere/ada/.local/state/batchwright")
    assert settings_from({**unset, "BATCHWRIGHT_STATE_DIR": "~/x"}).state_dir == Path("/somewhere/ada/x")
    assert user_home.home({"HOME": "/other"}) == Path("/other")


def test_without_any_home_there_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """C9: as in a container with a user id of its own; a folder that is named needs no home."""

    def nobody(_: int) -> None:
        raise KeyError

    monkeypatch.setattr("pwd.getpwuid", nobody)
    with pytest.raises(UsageError, match="HOME is not set to a folder"):
        settings_from({})
    assert settings_from({}, tmp_path).state_dir == tmp_path
    with pytest.raises(UsageError, match="is not a user of this machine"):
        user_home.expanded("~no-such-user-here/x")


# -- a state folder that cannot be written ----------------------------------------------------------------------------

TYPES = """
import sys
from batchwright.cli.main import run_command
for line in sys.argv[1:]:
    if run_command(line.split()):
        print("FAILED", line)
"""
LOOKS = ["list", "status latest", "events latest", "logs latest say", "explain latest say", "stats", "servers"]


def test_reading_needs_no_writing(shell: Shell) -> None:
    """C9: on a disk that is mounted read-only; what would change something is refused and changes nothing."""
    shell.here("run web.json --sim time_scale=0")
    shell.here("run echo.json")
    before = {str(one): one.stat().st_mtime_ns for one in (shell.folder / "state").rglob("*")}
    looks = shlex.join([sys.executable, "-c", TYPES, *LOOKS])
    closing = "mount --bind state state && mount -o remount,ro,bind state state" if ROOT else "chmod -R a-w state"
    (shell.folder / "tmp").mkdir()
    (shell.folder / "script").write_text(
        f"{closing} || exit 9\n{looks}\n"
        "bw run echo.json; echo run $?; bw rollback latest --yes; echo rollback $?; ls tmp"
    )
    done = shell(
        f"export -f bw; {'unshare -m' if ROOT else ''} bash script || exit 9; chmod -R u+w state",
        TMPDIR=str(shell.folder / "tmp"),
    )
    assert done.returncode == 0, done.stderr
    assert "FAILED" not in done.stdout, done.stdout + done.stderr
    assert "echo 1" in done.stdout
    assert "run 2" in done.stdout
    assert "cannot be written" in done.stderr
    assert {str(one): one.stat().st_mtime_ns for one in (shell.folder / "state").rglob("*")} == before
    assert "batchwright-" not in done.stdout, "the copies are gone"


def test_a_copy_has_the_stores_alone(tmp_path: Path) -> None:
    """C9: privately, and without what is no file."""
    state = tmp_path / "state"
    (state / "surrealdb" / "deep").mkdir(parents=True)
    for name in ("journal.db", "journal.db-wal", "journal.mark", "tokens.json", "surrealdb/deep/a"):
        (state / name).write_text(name)
    os.mkfifo(state / "surrealdb" / "socket")
    with copied(state) as found:
        have = {str(one.relative_to(found)) for one in Path(found).rglob("*") if one.is_file()}
        assert have == {"journal.db", "journal.db-wal", "journal.mark", "surrealdb/deep/a"}
        assert {one.stat().st_mode & 0o77 for one in Path(found).rglob("*")} == {0}
    assert not is_read_only(state)
