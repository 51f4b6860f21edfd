"""What a command needs is found, or all that is missing is told, before anything is changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchwright.model.plan import CommandRequest
from batchwright.model.secret import Secret
from batchwright.programs.base import Flaw
from batchwright.programs.finding import find_here, find_there
from batchwright.testing.planning import command


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A PATH with one program, `deploy`, and beside it one that may not be executed."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, mode in (("deploy", 0o755), ("notes", 0o644)):
        (tools / name).write_text("#!/bin/sh\n")
        (tools / name).chmod(mode)
    return {"PATH": str(tools), "TOKEN": "hunter2"}


def flaws(found: CommandRequest | list[Flaw]) -> list[tuple[str, str]]:
    assert isinstance(found, list)
    return [(flaw.code, flaw.hint) for flaw in found]


def test_programs_and_folder_are_frozen_with_their_whole_names(
    environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tool = str(tmp_path / "tools" / "deploy")
    found = find_here(command("do", "deploy", "-v", undo=["tools/deploy", "--undo"], idempotent=True), environ)
    assert found == CommandRequest("deploy", (tool, "-v"), (tool, "--undo"), directory=str(tmp_path), idempotent=True)
    beside = find_here(command("do", "./deploy", directory="tools"), environ)
    assert isinstance(beside, CommandRequest)
    assert (beside.run, beside.directory) == ((tool,), str(tmp_path / "tools"))


def test_the_commands_own_path_counts(environ: dict[str, str], tmp_path: Path) -> None:
    assert flaws(find_here(command("do", "deploy", env={"PATH": str(tmp_path)}), environ)) == [
        ("program-missing", "Install it, or write where it is.")
    ]


def test_a_program_that_is_not_there_is_told_with_what_was_probably_meant(environ: dict[str, str]) -> None:
    assert flaws(find_here(command("do", "depoly", undo=["nothing-like-it"]), environ)) == [
        ("program-missing", 'Did you mean "deploy"?'),
        ("program-missing", "Install it, or write where it is."),
    ]
    assert "words of their own" in flaws(find_here(command("do", "deploy --all"), environ))[0][1]
    assert flaws(find_here(command("do", ""), environ))[0][0] == "program-missing"


def test_a_place_is_told_with_what_stands_there(environ: dict[str, str], tmp_path: Path) -> None:
    assert flaws(find_here(command("do", f"{tmp_path}/tools/deply"), environ)) == [
        ("program-missing", f'Did you mean "{tmp_path}/tools/deploy"?')
    ]
    assert flaws(find_here(command("do", f"{tmp_path}/tools/notes"), environ)) == [
        ("program-not-executable", f"Allow it: chmod +x {tmp_path}/tools/notes")
    ]
    assert flaws(find_here(command("do", "deploy", directory=f"{tmp_path}/tool"), environ)) == [
        ("directory-missing", f'Did you mean "{tmp_path}/tools"?')
    ]


def test_all_that_is_missing_is_told_at_once_and_no_secret_with_it(environ: dict[str, str], tmp_path: Path) -> None:
    env: dict[str, str | Secret] = {
        "A": Secret(env="TOKEN"),
        "B": Secret(env="TOKEM"),
        "C": Secret(file=str(tmp_path / "none")),
        "D": Secret(command=("pass", "show", "x")),
        "E": Secret(command=("deploy",)),
        "F": Secret(file=str(tmp_path / "tools" / "notes")),
    }
    for found in (
        find_here(command("do", "deply", env=env), environ),
        find_there(command("do", "x", env=env), environ),
    ):
        assert isinstance(found, list)
        told = [flaw.message for flaw in found if flaw.code == "secret-missing"]
        assert [message.split('"')[1] for message in told] == ["B", "C", "D"]
        assert "hunter2" not in str(found)
    assert isinstance(find_there(command("do", "anything", env={"A": Secret(env="TOKEN")}), environ), CommandRequest)
