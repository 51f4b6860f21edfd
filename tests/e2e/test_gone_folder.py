"""F11: a working folder that is gone is no reason to fail, and where it is one that is said."""

from __future__ import annotations

import subprocess
from contextlib import chdir
from pathlib import Path

import pytest
from tests.support.command_line import COMMAND, PATIENCE, Done, environment, run_in_process

FLOW = """{ batch_workflow = { name = "gone", version = "1", operations = [
  { id = "a", type = "command", run = ["pwd"], directory = "%s" },
] } }
"""
HERE = FLOW.replace(', directory = "%s"', "")


def batchwright(folder: Path, *words: str) -> Done:
    """The command in a folder that is removed before it starts."""
    folder.mkdir()
    with chdir(folder):
        folder.rmdir()
        return run_in_process(words, environment(folder.parent), None)


def test_a_process_can_be_started_there(tmp_path: Path) -> None:
    """F11"""
    (folder := tmp_path / "gone").mkdir()
    line = ["sh", "-c", 'cd "$0" && rmdir "$0" && exec "$@"', str(folder), *COMMAND, "list"]
    done = subprocess.run(
        line, env=environment(tmp_path), capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("verb", ["validate", "plan", "run", "list", "stats", "servers"])
def test_whole_paths_work(tmp_path: Path, verb: str) -> None:
    """F11"""
    flow = tmp_path / "flow.ncl"
    flow.write_text(FLOW % tmp_path)
    words = [str(flow)] if verb in ("validate", "plan", "run") else []
    state = [] if verb == "validate" else ["--state-dir", str(tmp_path / "state")]
    done = batchwright(tmp_path / "gone", verb, *words, *state)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("words", [("validate", "flow.ncl"), ("list", "--state-dir", "state"), ("run", "flow.ncl")])
def test_a_relative_path_is_refused_with_a_sentence(tmp_path: Path, words: tuple[str, ...]) -> None:
    """F11"""
    done = batchwright(tmp_path / "gone", *words)
    assert done.returncode != 0
    assert "the current folder no longer exists" in done.stderr
    assert "hint:" in done.stderr
    assert "bug" not in done.stderr


def test_a_command_that_would_run_there_is_found_by_the_plan(tmp_path: Path) -> None:
    """F11, F13"""
    flow = tmp_path / "flow.ncl"
    flow.write_text(HERE)
    done = batchwright(tmp_path / "gone", "plan", str(flow), "--state-dir", str(tmp_path / "state"))
    assert done.returncode != 0
    assert "the current folder no longer exists [directory-missing]" in done.stderr
