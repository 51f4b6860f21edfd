"""D6: the chain and the mark on their own, what they tell, stores of before, and a disk that fails."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwright.errors import StoreBehind, StoreCorrupt, StoreError, StoreUnavailable
from batchwright.journal import event_codec, hash_chain, high_water_mark
from batchwright.journal.base import Head, Journal
from batchwright.journal.event_rows import EventRow, paginate
from batchwright.journal.high_water_mark import Entry, HighWaterMark, Loss
from batchwright.journal.sqlite import SqliteJournal, sqlite_mark
from batchwright.journal.surreal import SurrealJournal, surreal_mark
from batchwright.journal.surreal.embedded import engine
from batchwright.testing.journal_suite import NOW, begun, opened, steps, summary_of

BACKENDS: dict[str, tuple[Callable[[Path], Journal], Callable[[Path], HighWaterMark]]] = {
    "sqlite": (lambda folder: SqliteJournal(folder / "journal.db"), lambda folder: sqlite_mark(folder / "journal.db")),
    "surreal": (SurrealJournal, surreal_mark),
}
HEAD = bytes(range(32))


def refuses(run: str, pages: list[EventRow]) -> bool:
    before = None
    try:
        for page in pages:
            hash_chain.verify(run, before, page)
            before = page.chain
    except StoreCorrupt:
        return True
    return False


@given(st.lists(st.integers(1, 5), min_size=2, max_size=6), st.data())
def test_no_page_of_a_chain_can_be_changed_moved_or_left_out(sizes: list[int], data: st.DataObject) -> None:
    """D6."""
    pages: list[EventRow] = []
    for size in sizes:
        at = pages[-1].last if pages else 0
        pages += hash_chain.chained(pages[-1].chain if pages else None, "aaaa", paginate(at, steps(at + 1, size)))
    assert not refuses("aaaa", pages)
    assert refuses("bbbb", pages)
    at = data.draw(st.integers(0, len(pages) - 2))
    assert refuses("aaaa", [*pages[:at], *pages[at + 1 :]])
    assert refuses("aaaa", [*pages[:at], pages[at + 1], pages[at], *pages[at + 2 :]])
    body = bytearray(pages[at].body)
    body[data.draw(st.integers(0, len(body) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    for changed in (
        pages[at]._replace(body=bytes(body)),
        pages[at]._replace(version=event_codec.VERSION + 1),
        pages[at]._replace(chain=None),
    ):
        assert refuses("aaaa", [*pages[:at], changed, *pages[at + 1 :]])


def test_pages_of_before_the_chain_are_taken_and_none_follows_it() -> None:
    """D6."""
    old, new = paginate(0, steps(1, 3)), hash_chain.chained(None, "aaaa", paginate(3, steps(4, 2)))
    assert not refuses("aaaa", [*old, *new])
    assert refuses("aaaa", [*new, *paginate(5, steps(6, 1))])


@given(st.lists(st.tuples(st.sampled_from(["aaaa", "bbbb", "cccc"]), st.integers(1, 99)), max_size=40))
def test_a_mark_is_what_was_put_whoever_put_it(tmp_path_factory: pytest.TempPathFactory, puts: list[Any]) -> None:
    """D6: processes take turns, some write late; the furthest of each run counts, also for one that reads later."""
    path = tmp_path_factory.mktemp("mark") / "journal.mark"
    marks = [HighWaterMark(path), HighWaterMark(path)]
    marks[0].make()
    for number, (run, last) in enumerate(puts):
        one = marks[number % 2]
        one.reserve(1)
        one.put([Entry(run, last, HEAD)])
        one.sync()
    expected = {run: max(last for name, last in puts if name == run) for run, _ in puts}
    for one in (*marks, HighWaterMark(path)):
        assert {entry.run: entry.last for entry in one.entries().values()} == expected
        one.close()


def test_a_mark_grows_and_is_written_anew_when_most_of_it_is_superseded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D6: and a second process that has the old file open goes on with the new one."""
    monkeypatch.setattr(high_water_mark, "ROOM", 8)
    monkeypatch.setattr(high_water_mark, "SPARE", 20)
    one, other = HighWaterMark(tmp_path / "mark"), HighWaterMark(tmp_path / "mark")
    one.make()
    sizes = set()
    for number in range(1, 200):
        writer = (one, other)[number % 3 == 0]
        writer.reserve(1)
        writer.put([Entry("aaaa", number, HEAD)])
        sizes.add((tmp_path / "mark").stat().st_size)
    assert one.entries() == other.entries() == {"aaaa": Entry("aaaa", 199, HEAD)}
    assert max(sizes) < 128 * 60
    one.close()
    other.close()


@pytest.mark.parametrize("at", [3, 130, 200, 255, 300])
def test_a_flipped_bit_in_the_mark_is_told(at: int, tmp_path: Path) -> None:
    """D6."""
    one = HighWaterMark(tmp_path / "mark")
    one.make([Entry("aaaa", 7, HEAD), Entry("bbbb", 9, None)])
    body = bytearray((tmp_path / "mark").read_bytes())
    body[at] ^= 16
    (tmp_path / "mark").write_bytes(body)
    with pytest.raises(StoreBehind, match="is damaged at byte"):
        one.entries()
    one.close()


def test_losses_are_said_in_words() -> None:
    """D6."""
    assert str(Loss("aaaa", 0, 9)) == "run aaaa, which had 9 events, is missing"
    assert str(Loss("aaaa", 5, 9)) == "run aaaa ends at event 5, and 4 acknowledged after it are missing"
    assert str(Loss("aaaa", 9, 9)) == "event 9 of run aaaa differs from the one that was acknowledged"


async def filled(journal: Journal, run: str, events: int) -> Head:
    lease = await begun(journal, run)
    await journal.append(lease, 1, steps(2, events), summary_of(run, steps=events))
    await journal.release(lease)
    return await journal.head(run)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_older_copy_of_the_store_is_told_and_can_be_accepted(backend: str, tmp_path: Path) -> None:
    """D6: everything but the mark is replaced by what it was; opening names the runs and how much they miss."""
    make, mark_of = BACKENDS[backend]
    live, old = tmp_path / "live", tmp_path / "old"

    async def attempt() -> None:
        async with opened(lambda: make(live)) as journal:
            await filled(journal, "aaaa", 5)
        shutil.copytree(live, old)
        async with opened(lambda: make(live)) as journal:
            lease = await journal.acquire("aaaa", "here", NOW)
            await journal.append(lease, 6, steps(7, 4))
            await filled(journal, "bbbb", 2)
        shutil.copy(mark_of(live).path, mark_of(old).path)
        for _ in range(2):
            with pytest.raises(StoreBehind) as told:
                await make(old).open()
            assert "run bbbb, which had 3 events, is missing" in told.value.message
            assert "run aaaa ends at event 6, and 4 acknowledged after it are missing" in told.value.message
        looking = make(old)
        await looking.open(behind=True)
        assert sorted(map(str, await looking.losses()))[1:] == ["run bbbb, which had 3 events, is missing"]
        with pytest.raises(StoreBehind):
            await looking.acquire("aaaa", "here", NOW + 99)
        with pytest.raises(StoreBehind):
            await looking.summary("bbbb")
        with pytest.raises(StoreBehind):
            await looking.summaries()
        await looking.accept_loss()
        await looking.aclose()
        async with opened(lambda: make(old)) as journal:
            assert [row.run for row in await journal.summaries()] == ["aaaa"]
            lease = await journal.acquire("aaaa", "here", NOW + 99)
            assert await journal.append(lease, 6, steps(7, 1)) == 7

    asyncio.run(attempt())


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_store_without_its_mark_is_told(backend: str, tmp_path: Path) -> None:
    """D6."""
    make, mark_of = BACKENDS[backend]

    async def attempt() -> None:
        async with opened(lambda: make(tmp_path / "s")) as journal:
            await filled(journal, "aaaa", 5)
        mark_of(tmp_path / "s").path.unlink()
        with pytest.raises(StoreBehind, match="is missing"):
            await make(tmp_path / "s").open()

    asyncio.run(attempt())


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_database_that_was_removed_is_told_and_none_is_made(backend: str, tmp_path: Path) -> None:
    """D6."""
    make, _ = BACKENDS[backend]
    place = tmp_path / "s" / ("journal.db" if backend == "sqlite" else "database")

    async def attempt() -> None:
        async with opened(lambda: make(tmp_path / "s")) as journal:
            await filled(journal, "aaaa", 5)
        place.rename(tmp_path / "moved")
        with pytest.raises(StoreBehind, match="run aaaa, which had 6 events, is missing"):
            await make(tmp_path / "s").open()
        assert not place.exists()
        (tmp_path / "moved").rename(place)
        async with opened(lambda: make(tmp_path / "s")) as journal:
            assert len(await journal.read("aaaa")) == 6

    asyncio.run(attempt())


def test_a_store_of_format_1_goes_on_and_its_chain_begins_with_the_next_entry(tmp_path: Path) -> None:
    """D6: what it holds is marked at once, so that a run of before cannot vanish either."""
    path = tmp_path / "journal.db"

    async def attempt() -> None:
        async with opened(lambda: SqliteJournal(path)) as journal:
            await filled(journal, "aaaa", 5)
        old = sqlite3.connect(path)
        for table, columns in {"run": ("head", "seal"), "page": ("chain",), "snapshot": ("digest",),
                               "signal": ("digest",)}.items():  # fmt: skip
            for column in columns:
                old.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        for table in ("environment", "resource", "delivery", "base"):
            old.execute(f"DROP TABLE {table}")
        old.execute("PRAGMA user_version = 1")
        old.commit()
        old.close()
        (tmp_path / "journal.mark").unlink()
        async with opened(lambda: SqliteJournal(path)) as journal:
            assert await journal.head("aaaa") == Head(6, "")
            assert await journal.losses() == []
            lease = await journal.acquire("aaaa", "here", NOW)
            assert await journal.append(lease, 6, steps(7, 2)) == 8
            head = await journal.head("aaaa")
            assert (head.seq, len(head.digest)) == (8, 64)
            assert [bool(page.chain) for page in await journal.pages("aaaa")] == [False, False, True]
            assert len(await journal.read("aaaa")) == 8
        path.unlink()
        with pytest.raises(StoreBehind, match="run aaaa, which had 8 events, is missing"):
            await SqliteJournal(path).open()

    asyncio.run(attempt())


def test_an_embedded_database_of_format_1_goes_on_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """D6."""
    texts = {
        "back": "UPDATE page UNSET chain; UPDATE run UNSET head, seal; UPDATE store:this SET version = 1 RETURN NONE;"
    }

    async def attempt() -> None:
        async with opened(lambda: SurrealJournal(tmp_path)) as journal:
            await filled(journal, "aaaa", 5)
        with monkeypatch.context() as patch:
            patch.setattr(engine, "SURREALQL", texts)
            database = engine.Engine(tmp_path / "database")
            await database.open()
            await database.query("back")
            await database.aclose()
        (tmp_path / "journal.mark").unlink()
        async with opened(lambda: SurrealJournal(tmp_path)) as journal:
            assert await journal.head("aaaa") == Head(6, "")
            assert await journal.losses() == []
            lease = await journal.acquire("aaaa", "here", NOW)
            assert await journal.append(lease, 6, steps(7, 2)) == 8
            assert [bool(page.chain) for page in await journal.pages("aaaa")] == [False, False, True]
        (tmp_path / "database").rename(tmp_path / "gone")
        with pytest.raises(StoreBehind, match="run aaaa, which had 8 events, is missing"):
            await SurrealJournal(tmp_path).open()

    asyncio.run(attempt())


class FailingDisk:
    """A connection whose next COMMIT fails as when fsync does."""

    def __init__(self, inner: sqlite3.Connection) -> None:
        self._inner, self.failures = inner, 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        if statement == "COMMIT" and self.failures:
            self.failures -= 1
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC  # type: ignore[misc]
            raise error
        return self._inner.execute(statement, *values)


def test_after_a_failed_fsync_the_file_is_opened_again(tmp_path: Path) -> None:
    """D6: nothing of the failed commit is acknowledged, neither then nor later."""

    async def attempt() -> None:
        async with opened(lambda: SqliteJournal(tmp_path / "journal.db")) as journal:
            lease = await begun(journal)
            transactions = journal._writer.transactions  # type: ignore[attr-defined]
            failing = transactions.connection = FailingDisk(transactions.connection)
            with pytest.raises(StoreUnavailable, match="disk I/O error"):
                await journal.append(lease, 1, steps(2, 3))
            assert await journal.append(lease, 1, steps(2, 1)) == 2
            assert transactions.connection is not failing
            assert (await journal.losses(), len(await journal.read("aaaa"))) == ([], 2)

    asyncio.run(attempt())


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_mark_that_cannot_be_synced_is_told_by_the_next_append(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D6: and the store goes on when it can be again."""
    make, _ = BACKENDS[backend]

    def fails(_: int) -> None:
        raise OSError(5, "Input/output error")

    async def attempt() -> None:
        async with opened(lambda: make(tmp_path / "s")) as journal:
            lease = await begun(journal)
            with monkeypatch.context() as patch:
                patch.setattr(os, "fdatasync", fails)
                patch.setattr(os, "fsync", fails)
                assert await journal.append(lease, 1, steps(2, 1)) == 2  # it is on disk; its mark is not
                await journal.summaries()
                with pytest.raises(StoreError, match="Input/output"):
                    await journal.append(lease, 2, steps(3, 1))
            assert await journal.append(lease, 2, steps(3, 1)) == 3

    asyncio.run(attempt())
