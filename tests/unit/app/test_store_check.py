"""D6, F1: what `store check` proves and tells, and that a broken store keeps nobody from the others."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from batchwright.app.multi_store import Stores
from batchwright.app.settings import Settings
from batchwright.app.store_transfer import migrate
from batchwright.app.system_clock import SystemClock
from batchwright.cli.main import run_command
from batchwright.errors import StoreBehind, StoreCorrupt
from batchwright.journal.base import Journal
from batchwright.journal.sqlite import SqliteJournal
from batchwright.journal.surreal import surreal_mark
from batchwright.model import events as ev
from batchwright.model.run import Run
from tests.unit.app.test_store_transfer import history

RUN, OTHER = "abcdefabcdef", "bcdefabcdefa"


async def record(journal: Journal, run: str, count: int = 13) -> None:
    events = history(run)[:count]
    created = events[0]
    assert isinstance(created, ev.RunCreated)
    await journal.create(created, Run(created).summary(journal.name))
    lease = await journal.acquire(run, "x:1:1", 2.0)
    for number, event in enumerate(events[1:], 1):
        await journal.append(lease, number, [event], Run.replay(events[: number + 1]).summary(journal.name))
    await journal.release(lease)


def fill(folder: Path, store: str = "filesystem", run: str = RUN) -> None:
    async def work() -> None:
        async with Stores(Settings(folder)) as stores:
            await record(await stores.get(store), run)

    asyncio.run(work())


def command(capsys: pytest.CaptureFixture[str], folder: Path, *words: str) -> tuple[int, str]:
    """The exit code and all that was printed."""
    capsys.readouterr()
    code = int(run_command([*words, "--state-dir", str(folder)]))
    said = capsys.readouterr()
    return code, said.out + said.err


def answer(capsys: pytest.CaptureFixture[str], folder: Path, *words: str) -> tuple[int, Any]:
    code, said = command(capsys, folder, *words, "--json")
    return code, json.loads(said)


def edit(folder: Path, statement: str) -> None:
    connection = sqlite3.connect(folder / "journal.db")
    connection.execute(statement)
    connection.commit()
    connection.close()


def test_a_digest_that_was_kept_is_on_the_chain_for_ever(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """D6: also after more events, and after the run was moved to another store."""
    fill(tmp_path)
    code, kept = command(capsys, tmp_path, "store", "check", "--chain", RUN)
    kept = kept.strip()
    assert code == 0
    digest, _, seq = kept.partition("@")
    assert (len(digest), seq) == (64, "13")

    async def go_on() -> None:
        async with Stores(Settings(tmp_path)) as stores:
            journal = await stores.get("filesystem")
            lease = await journal.acquire(RUN, "x:1:1", 9.0)
            await journal.append(lease, 13, [ev.RunPaused(20.0, "me")])
            await journal.release(lease)
            moved = [one async for one in migrate(stores, SystemClock(), "filesystem", "surrealdb")]
            assert [(one.events, one.left) for one in moved] == [(14, "")]

    asyncio.run(go_on())
    for expected in (kept, digest, kept.upper()):
        code, said = command(capsys, tmp_path, "store", "check", "--chain", RUN[:4], "--expect", expected)
        assert code == 0, said
        assert "followed by 1 event" in said
    for wrong in (f"{digest}@12", "0" * 64, digest.replace(digest[0], "f" if digest[0] != "f" else "e")):
        code, said = command(capsys, tmp_path, "store", "check", "--chain", RUN, "--expect", wrong)
        assert (code, "is not on the chain" in said) == (1, True)
    for bad in ("zz", f"{digest}@", f"{digest}@0", f"{digest}@\u0661", "@4"):
        code, said = command(capsys, tmp_path, "store", "check", "--chain", RUN, "--expect", bad)
        assert (code, "is not a chain digest" in said) == (2, True), said


def test_a_journal_that_was_written_anew_is_found_by_the_digest_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """D6: database and mark are consistent, and something else."""
    fill(tmp_path / "one")
    _, kept = command(capsys, tmp_path / "one", "store", "check", "--chain", RUN)

    async def another() -> None:
        async with Stores(Settings(tmp_path / "two")) as stores:
            await record(await stores.get("filesystem"), RUN, 12)

    asyncio.run(another())
    assert command(capsys, tmp_path / "two", "store", "check")[0] == 0
    code, said = command(capsys, tmp_path / "two", "store", "check", "--chain", RUN, "--expect", kept.strip())
    assert (code, "is not on the chain" in said) == (1, True)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE page SET body = replace(body, 'ref1', 'ref9') WHERE last = 7",
        "DELETE FROM page WHERE last = 6",
        "UPDATE page SET chain = NULL WHERE last = 6",
        "UPDATE run SET summary = replace(summary, 'Running', 'Completed')",
        "UPDATE run SET last = 12",
        "DELETE FROM run",
        "DELETE FROM page WHERE last = 13",
    ],
)
def test_an_edited_journal_is_told(statement: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """D6."""
    fill(tmp_path)
    edit(tmp_path, statement.replace("replace(body,", "CAST(replace(CAST(body AS TEXT),").replace("replace(summary,", "CAST(replace(CAST(summary AS TEXT),").replace("')", "') AS BLOB)"))  # fmt: skip  # noqa: E501
    code, found = answer(capsys, tmp_path, "store", "check")
    assert (code, found["ok"]) == (1, False), found
    ends = ("run SET last", "FROM run", "WHERE last = 13")  # what the mark knows; the rest is the chain's
    assert found["stores"][0]["complete"] is not any(one in statement for one in ends)
    code, said = command(capsys, tmp_path, "resume", RUN)
    assert code == 2, said
    assert "store-" in said or "damaged" in said or "not what" in said or "lost" in said, said


def test_a_loss_is_named_then_accepted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """D6: the last acknowledged events are gone; nothing is driven until somebody says that it may be."""
    fill(tmp_path, run=OTHER)
    shutil.copy(tmp_path / "journal.db", tmp_path / "older")
    fill(tmp_path)
    shutil.copy(tmp_path / "older", tmp_path / "journal.db")
    for words in (("list",), ("status", OTHER), ("resume", OTHER)):
        code, said = command(capsys, tmp_path, *words)
        assert (code, f"run {RUN}, which had 13 events, is missing" in said) == (2, True), said
        assert "store check --accept-loss" in said
    code, found = answer(capsys, tmp_path, "store", "check")
    assert (code, [one["run"] for one in found["runs"]]) == (1, [OTHER])
    assert found["stores"][0]["problems"] == [f"run {RUN}, which had 13 events, is missing"]
    code, said = command(capsys, tmp_path, "store", "check", "--accept-loss")
    assert (code, f"accepted: run {RUN}, which had 13 events, is missing" in said) == (0, True), said
    assert command(capsys, tmp_path, "status", OTHER)[0] == 0
    assert command(capsys, tmp_path, "store", "check")[0] == 0


def broken(folder: Path) -> None:
    """An embedded store that held a run and cannot be opened."""
    fill(folder, "surrealdb", OTHER)
    (folder / "surrealdb" / "database" / "manifest" / "00000000000000000000.manifest").write_bytes(b"garbage")


def test_a_broken_store_keeps_nobody_from_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """F1: what can be read is shown and what is left out is said; the mark says which runs the broken one holds."""
    fill(tmp_path)
    broken(tmp_path)
    code, said = command(capsys, tmp_path, "list")
    assert (code, RUN in said, "the store surrealdb is left out" in said) == (0, True, True), said
    for word in (RUN, RUN[:4]):
        assert command(capsys, tmp_path, "status", word)[0] == 0
    code, found = answer(capsys, tmp_path, "store", "check")
    assert (code, [one["run"] for one in found["runs"]]) == (1, [RUN])
    assert [bool(one["problems"]) for one in found["stores"]] == [False, True]
    file = tmp_path / "w.json"
    server = {"name": "s", "plan": "1xCPU-2GB", "zone": "de-fra1"}
    operation = {"id": "a", "type": "server_batch", "provider": "upcloud", "server_configs": [server]}
    file.write_text(json.dumps({"batch_workflow": {"name": "n", "version": "1", "operations": [operation]}}))
    code, said = command(capsys, tmp_path, "run", str(file), "--sim", "boot_seconds=0.001")
    assert (code, "the store surrealdb is left out" in said) == (0, True), said
    for word in (OTHER, OTHER[:4], "latest"):
        code, said = command(capsys, tmp_path, "resume", word)
        assert (code, "surrealdb" in said) == (2, True), said

    async def refuses() -> None:
        async with Stores(Settings(tmp_path)) as stores:
            with pytest.raises(StoreCorrupt):
                await stores.summaries()

    asyncio.run(refuses())


def test_a_broken_store_that_held_no_run_is_in_nobody_s_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """F1: even `latest` knows all runs then."""
    fill(tmp_path)
    (tmp_path / "surrealdb").mkdir()
    surreal_mark(tmp_path / "surrealdb").make()
    database = tmp_path / "surrealdb" / "database"
    (database / "manifest").mkdir(parents=True)
    (database / "manifest" / "00000000000000000000.manifest").write_bytes(b"garbage")
    (database / "clog").mkdir()
    (database / "clog" / "00000000000000000000.clog").write_bytes(b"garbage" * 200)
    assert command(capsys, tmp_path, "status", "latest")[0] == 0
    assert "is left out" in command(capsys, tmp_path, "list")[1]


def test_a_store_behind_is_not_opened_by_a_driver(tmp_path: Path) -> None:
    """D6: the writer compares too, whenever it opens the file again."""
    fill(tmp_path)
    edit(tmp_path, "UPDATE run SET last = 12")

    async def work() -> None:
        with pytest.raises(StoreBehind, match="1 acknowledged after it are missing"):
            await SqliteJournal(tmp_path / "journal.db").open()

    asyncio.run(work())
