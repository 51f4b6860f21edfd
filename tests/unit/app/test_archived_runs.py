"""What people and programs are told of archived runs, and that archiving opens no hole in the integrity of a store."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from batchwright.cli.main import run_command
from batchwright.client import discovery
from batchwright.client.http import HttpClient
from batchwright.errors import RunArchived
from batchwright.model.lifecycle import RunState
from tests.support.service_in_loop import FAST, workflow
from tests.support.service_process import service_process
from tests.unit.app.filled_store import filled
from tests.unit.app.test_store_check import answer, command

STORES = ("filesystem", "surrealdb")
Capture = pytest.CaptureFixture[str]


def pruned(capsys: Capture, folder: Path, store: str = "filesystem") -> tuple[dict[str, Any], dict[str, str]]:
    """What the prune of a filled store said, and the archived runs."""
    filled(folder, store)
    code, result = answer(capsys, folder, "store", "prune", "--keep", "1")
    assert code == 0, result
    return result, archived(capsys, folder)


def archived(capsys: Capture, folder: Path) -> dict[str, str]:
    _, listed = answer(capsys, folder, "list", "--limit", "0")
    return {row["run"]: row["archive"] for row in listed["runs"] if row["archive"]}


@pytest.mark.parametrize("store", STORES)
def test_a_prune_and_an_import_are_told(store: str, tmp_path: Path, capsys: Capture) -> None:
    folder = tmp_path / "state"
    filled(folder, store)
    before = answer(capsys, folder, "environments"), answer(capsys, folder, "status", "shop")
    code, planned = answer(capsys, folder, "store", "prune", "--keep", "1", "--plan")
    [environment] = planned["environments"]
    assert (code, len(environment["runs"]), planned["archive"]) == (0, 8, "")
    assert {one["why"] for one in environment["kept"]} == {"resource", "newest-change", "newest-turn"}
    assert archived(capsys, folder) == {}
    code, said = command(capsys, folder, "store", "prune", "--keep", "1", "--older-than", "36500d")
    assert (code, "is not old enough" in said, "nothing to archive" in said) == (0, True, True)
    code, result = answer(capsys, folder, "store", "prune", "--keep", "1")
    assert (code, result["runs"], result["refused"]) == (0, 8, {})
    assert {one["run"] for one in environment["runs"]} == archived(capsys, folder).keys()
    assert (answer(capsys, folder, "environments"), answer(capsys, folder, "status", "shop")) == before
    code, said = command(capsys, folder, "store", "check")
    assert (code, "shop are archived; what it has was checked from turn 12 on" in said) == (0, True), said
    code, back = answer(capsys, folder, "store", "import", Path(result["archive"]).name)
    assert (code, back["error"]["code"]) == (2, "archive-refused")
    code, back = answer(capsys, folder, "store", "import", f"archives/{Path(result['archive']).name}")
    assert (code, {one["restored"] for one in back["runs"]}, archived(capsys, folder)) == (0, {True}, {})
    code, said = command(capsys, folder, "store", "check")
    assert (code, "checked from turn" in said) == (0, False), said


def test_an_archived_run_has_a_line_and_a_place(tmp_path: Path, capsys: Capture) -> None:
    folder = tmp_path / "state"
    _, gone = pruned(capsys, folder)
    run, place = next(iter(gone.items()))
    assert "Completed (archived)" in command(capsys, folder, "list", "--limit", "0")[1]
    code, said = command(capsys, folder, "status", run[:10])
    assert (code, f"its events are in {place}" in said, f"store import {place}" in said) == (0, True, True), said
    code, row = answer(capsys, folder, "status", run)
    assert (code, row["run"], row["archive"]) == (0, run, place)
    for words in (["events", run], ["logs", run, "a"], ["explain", run, "up/a"], ["resume", run],
                  ["rollback", run, "--plan"], ["store", "check", "--chain", run]):  # fmt: skip
        code, said = command(capsys, folder, *words)
        assert (code, "[run-archived]" in said, place in said) == (2, True, True), said


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("DELETE FROM run WHERE run = '{archived}'", "is missing"),
        ("UPDATE run SET last = 3 WHERE run = '{archived}'", "acknowledged after it are missing"),
        ("UPDATE run SET summary = CAST(replace(CAST(summary AS TEXT), 'Completed', 'RolledBack') AS BLOB) "
         "WHERE run = '{archived}'", "differs from the one that was acknowledged"),
        ("DELETE FROM page WHERE run = '{whole}'", "differs from the one that was acknowledged"),
        ("DELETE FROM page WHERE run = '{whole}' AND last > 1", "differs from the one that was acknowledged"),
        ("UPDATE run SET summary = (SELECT summary FROM run WHERE run = '{archived}') WHERE run = '{whole}'",
         "differs from what was written"),
        ("DELETE FROM base", "damaged or missing"),
        ("UPDATE base SET body = CAST(replace(CAST(body AS TEXT), 'de-fra1', 'de-fra2') AS BLOB)",
         "damaged or missing"),
    ],
)  # fmt: skip
def test_what_somebody_else_deletes_is_still_missed(
    statement: str, words: str, tmp_path: Path, capsys: Capture
) -> None:
    folder = tmp_path / "state"
    _, gone = pruned(capsys, folder)
    _, listed = answer(capsys, folder, "list", "--limit", "0")
    whole = next(row["run"] for row in listed["runs"] if not row["archive"])
    connection = sqlite3.connect(folder / "journal.db")
    connection.execute(statement.format(archived=next(iter(gone)), whole=whole))
    connection.commit()
    connection.close()
    code, said = command(capsys, folder, "store", "check")
    assert (code, words in said) == (1, True), said


def test_an_older_copy_of_the_store_is_told_apart(tmp_path: Path, capsys: Capture) -> None:
    """The mark covers the runs of before the prune; what an older database has of them is all that was."""
    folder = tmp_path / "state"
    filled(folder, "filesystem")
    older = tmp_path / "older"
    shutil.copytree(folder, older)
    assert command(capsys, folder, "store", "prune", "--keep", "1")[0] == 0
    (folder / "journal.mark").unlink()
    shutil.copy(older / "journal.mark", folder / "journal.mark")
    assert command(capsys, folder, "store", "check")[0] == 0
    shutil.copy(older / "journal.db", folder / "journal.db")
    assert command(capsys, folder, "store", "check")[0] == 0
    assert archived(capsys, folder) == {}


def test_a_prune_says_what_must_be_said(tmp_path: Path, capsys: Capture) -> None:
    folder = tmp_path / "state"
    assert json.loads(command(capsys, folder, "store", "prune", "--keep", "1", "--json")[1])["environments"] == []
    filled(folder, "filesystem")
    for words, code in ((["prune"], "usage"), (["prune", "--keep", "0"], "usage"),
                        (["prune", "--older-than", "soon"], "usage"),
                        (["prune", "--keep", "1", "--environment", "shp"], "environment-not-found"),
                        (["prune", "--keep", "1", "--archive", str(tmp_path / "no" / "file")], "archive-refused"),
                        (["import", str(tmp_path)], "archive-refused")):  # fmt: skip
        exit_code, said = answer(capsys, folder, "store", *words)
        assert (exit_code, said["error"]["code"]) == (2, code), said
    assert archived(capsys, folder) == {}


@pytest.mark.parametrize("store", STORES)
def test_a_service_that_uses_the_store_says_the_same(
    store: str, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on while another process archives, and its clients are told what a local command tells."""
    monkeypatch.setattr(discovery, "_of_this_folder", lambda *_: None)
    folder = tmp_path / "state"
    filled(folder, store)
    with service_process(tmp_path) as (url, _), HttpClient(url) as client:
        run = client.runs()[1].run
        assert client.run(run).status is RunState.COMPLETED  # so the service has read it, and remembers it
        code, result = answer(capsys, folder, "store", "prune", "--keep", "1")
        assert (code, result["runs"]) == (0, 8), result
        gone = archived(capsys, folder)
        other = next(one for one in gone if one != run)
        local = {words: command(capsys, folder, *words) for words in (("status", other), ("list",))}
        assert {row.run: row.archive for row in client.runs() if row.archive} == gone
        for words, (exit_code, said) in local.items():
            capsys.readouterr()
            assert int(run_command([*words, "--url", url])) == exit_code
            out = capsys.readouterr().out
            assert [line for line in said.splitlines() if "service" not in line] == out.splitlines()
        with pytest.raises(RunArchived, match=gone[other]) as told:
            client.run(other)
        assert told.value.hint == f"To have them back: batchwright store import {gone[other]}"
        with pytest.raises(RunArchived):
            list(client.events(run))
        submitted = client.submit(workflow("flow", 1)["batch_workflow"], FAST)
        assert [update.view.status for update in client.follow(submitted.run)][-1] is RunState.COMPLETED
        code, back = answer(capsys, folder, "store", "import", result["archive"])
        assert (code, len(back["runs"])) == (0, 8)
        assert client.run(other).status is RunState.COMPLETED
        assert len(list(client.events(run))) > 1
