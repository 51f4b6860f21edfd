"""How errors are reported, and with which exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.views.story import T0, Story, fleet

from batchwright.cli import main as entry
from batchwright.cli.exit_codes import Exit, exit_of
from batchwright.cli.output import about
from batchwright.errors import RunHeld, StoreReadOnly
from batchwright.model import events as ev
from batchwright.model.lifecycle import RunState


@pytest.fixture(autouse=True)
def own_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BATCHWRIGHT_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.delenv("BATCHWRIGHT_DEBUG", raising=False)


def break_command(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Make every command raise this."""

    def fail(_context: object) -> int:
        raise error

    monkeypatch.setattr(entry.command(), "invoke", fail)


def test_no_arguments_show_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.run_command([]) == Exit.OK
    shown = capsys.readouterr().out
    for command in ("validate", "plan", "run", "resume", "pause", "cancel", "rollback", "list", "status", "monitor"):
        assert f" {command} " in shown
    for command in ("events", "explain", "stats", "providers", "taskservs"):
        assert f" {command} " in shown


@pytest.mark.parametrize("example", [example for _, _, example in entry.COMMANDS])
def test_the_example_of_a_command_is_one_that_it_takes(example: str, capsys: pytest.CaptureFixture[str]) -> None:
    name, *words = example.split()
    assert entry.command().commands[name].make_context(name, words)
    assert entry.run_command([name, "--help"]) == Exit.OK
    assert f"Example: batchwright {example}" in " ".join(capsys.readouterr().out.split())


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.run_command(["--version"]) == Exit.OK
    assert capsys.readouterr().out.startswith("batchwright ")


def test_a_word_that_is_not_utf_8_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.run_command(["approve", "x", "--comment", "a\udcff"]) == Exit.COULD_NOT
    assert "'a\ufffd' is not UTF-8 text [usage]" in capsys.readouterr().err


@pytest.mark.parametrize("args", [["no-such-command"], ["run"], ["list", "--limit", "many"], ["list", "--no-such"]])
def test_usage_errors(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.run_command(args) == Exit.COULD_NOT
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert "[usage]" in shown.err
    assert "hint: See: batchwright" in shown.err


def test_an_error_as_json_is_one_document_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.run_command(["list", "--status", "runing", "--json"]) == Exit.COULD_NOT
    shown = capsys.readouterr()
    assert json.loads(shown.out)["error"]["code"] == "usage"
    assert shown.err == ""


def test_an_unknown_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.run_command(["status", "latest"]) == Exit.COULD_NOT
    error, hint = capsys.readouterr().err.splitlines()
    assert error.startswith("error: there are no runs yet in /")
    assert error.endswith("state [run-not-found]")
    assert hint == "hint: List them with: batchwright list, or batchwright environments"


def test_a_bug_is_one_line_without_a_trace(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    break_command(monkeypatch, KeyError("surprise"))
    assert entry.run_command(["list"]) == Exit.COULD_NOT
    shown = capsys.readouterr().err
    assert shown.splitlines()[0] == "error: KeyError: 'surprise' [bug]"
    assert "This is a bug in Batchwright. Please report it with the traceback" in shown
    assert "Traceback" not in shown
    monkeypatch.setenv("BATCHWRIGHT_DEBUG", "1")
    assert entry.run_command(["list", "--json"]) == Exit.COULD_NOT
    shown_both = capsys.readouterr()
    assert "Traceback" in shown_both.err
    assert json.loads(shown_both.out)["error"]["code"] == "bug"


def test_an_interrupt_while_nothing_is_driven(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    break_command(monkeypatch, KeyboardInterrupt())
    assert entry.run_command(["run", "f"]) == Exit.LEFT
    assert capsys.readouterr().err == "interrupted; nothing was in flight\n"


def test_hints_name_the_actual_run() -> None:
    with pytest.raises(RunHeld) as held, about(RUN="abc"):
        raise RunHeld("somebody else drives it")
    assert held.value.hint.startswith("Watch it with: batchwright monitor abc. ")
    with pytest.raises(StoreReadOnly) as read_only, about(RUN="abc", FILE=r"C:\new"):
        raise StoreReadOnly("no", hint="look at FILE or RUNS")
    assert read_only.value.hint == r"look at C:\new or RUNS"


def ended(status: RunState) -> Story:
    return fleet().begin().start("web/a", at=0).succeed("web/a", at=1).end(status, 2)


@pytest.mark.parametrize(("status", "code"), [(RunState.COMPLETED, 0), (RunState.FAILED, 1), (RunState.CANCELLED, 3)])
def test_the_exit_code_of_a_run(status: RunState, code: int) -> None:
    assert exit_of(ended(status).run) == code


@pytest.mark.parametrize(
    ("by", "automatic", "status", "code"),
    [
        ("ada", False, RunState.ROLLED_BACK, 0),
        ("on_failure", False, RunState.ROLLED_BACK, 0),  # a user may be called so
        ("on_failure", True, RunState.ROLLED_BACK, 1),  # asked for a run, got nothing
        ("on_failure", None, RunState.ROLLED_BACK, 1),  # in a journal from before it was recorded
        ("ada", None, RunState.ROLLBACK_INCOMPLETE, 1),
    ],
)
def test_the_exit_code_of_a_rollback(by: str, automatic: bool | None, status: RunState, code: int) -> None:
    story = ended(RunState.FAILED).tell(ev.RollbackStarted(T0 + 3, by, automatic=automatic))
    story.tell(ev.UndoStarted(T0 + 3, "web/a", 1)).tell(ev.StepUndone(T0 + 4, "web/a"))
    assert exit_of(story.tell(ev.RollbackEnded(T0 + 5, status)).run) == code


def test_a_run_that_has_not_ended_has_stopped() -> None:
    assert exit_of(fleet().begin().run) == Exit.STOPPED


def test_a_process_ends_without_a_last_search_for_cycles() -> None:
    code = """
import atexit, gc, sys
atexit.register(lambda: print(gc.get_freeze_count() > 10_000))
from batchwright.__main__ import main
main()
"""
    command = [sys.executable, "-c", code, "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout.splitlines()[-1], done.returncode) == ("True", 0)
