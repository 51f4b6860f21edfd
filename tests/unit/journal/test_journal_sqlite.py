"""The SQLite store: what it opens and refuses, how it commits, a full disk, other processes beside it."""

import asyncio
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from batchwright.errors import (
    LeaseLost,
    SequenceConflict,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreNewer,
    StoreReadOnly,
    StoreUnavailable,
)
from batchwright.journal.base import ArchivedRun, Journal, Lease, Snapshot
from batchwright.journal.sqlite import SqliteJournal, connect
from batchwright.journal.sqlite.connect import SqliteConnection
from batchwright.model.events import AnyEvent, StepStarted
from batchwright.model.run_signal import Signal, SignalKind
from batchwright.testing import journal_turn_suite
from batchwright.testing.journal_suite import NOW, begun, opened, steps, summary_of

SCRIPT = Path(__file__).with_name("journal_process.py")


def opening_raises(path: Path, error: type[StoreError], match: str) -> StoreError:
    async def attempt() -> None:
        await SqliteJournal(path).open()

    with pytest.raises(error, match=match) as caught:
        asyncio.run(attempt())
    assert type(caught.value) is error
    return caught.value


async def use(path: Path) -> None:
    async with opened(lambda: SqliteJournal(path)) as journal:
        await begun(journal)


def changed(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()


def test_the_store_is_private(tmp_path: Path) -> None:
    path = tmp_path / "new" / "state" / "journal.db"
    asyncio.run(use(path))
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_newer_store_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    asyncio.run(use(path))
    changed(path, "PRAGMA user_version = 6")
    before = path.read_bytes()
    told = opening_raises(path, StoreNewer, r"format 6; this Batchwright knows formats up to 5")
    assert "newer Batchwright" in told.hint
    assert path.read_bytes() == before


def test_another_program_s_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    changed(path, "CREATE TABLE theirs (x)")
    before = path.read_bytes()
    opening_raises(path, StoreCorrupt, "not a Batchwright store")
    assert path.read_bytes() == before


@pytest.mark.parametrize("body", [b"garbage" * 1000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_what_is_no_database_is_refused_and_left_alone(body: bytes, tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(body)
    assert "only record" in opening_raises(path, StoreCorrupt, "damaged").hint
    assert path.read_bytes() == body


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.touch()
    asyncio.run(use(path))


def test_damage_inside_is_told_when_it_is_met(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"

    async def fill() -> None:
        async with opened(lambda: SqliteJournal(path)) as journal:
            lease = await begun(journal)
            await journal.append(lease, 1, steps(2, 5_000))

    async def read() -> None:
        async with opened(lambda: SqliteJournal(path)) as journal:
            await journal.read("aaaa")

    asyncio.run(fill())
    body = bytearray(path.read_bytes())
    middle = len(body) // 2
    body[middle : middle + 50_000] = b"\xaa" * 50_000
    path.write_bytes(body)
    with pytest.raises(StoreError, match=r"damaged|missing") as caught:
        asyncio.run(read())
    assert caught.value.code in ("store-corrupt", "event-unreadable")


def test_a_folder_that_cannot_be_written_is_told(mounted: Callable[[str], Path]) -> None:
    folder = mounted("ro,size=1m")
    assert "--state-dir" in opening_raises(folder / "journal.db", StoreReadOnly, "cannot be written").hint
    opening_raises(folder / "deeper" / "journal.db", StoreReadOnly, "cannot be written")


def test_a_folder_in_place_of_the_file_is_told(tmp_path: Path) -> None:
    opening_raises(tmp_path, StoreUnavailable, "cannot be used")


def test_a_closed_journal_says_so(tmp_path: Path) -> None:
    async def call() -> None:
        await SqliteJournal(tmp_path / "journal.db").summaries()

    with pytest.raises(StoreUnavailable, match="is not open"):
        asyncio.run(call())


def test_what_waits_together_is_one_commit(tmp_path: Path) -> None:
    commits: list[str] = []
    taken, go_on = threading.Event(), threading.Event()

    def occupy(db: SqliteConnection) -> None:
        db.raw.set_trace_callback(commits.append)
        taken.set()
        go_on.wait(30)

    async def attempt() -> list[object]:
        async with opened(lambda: SqliteJournal(tmp_path / "journal.db")) as journal:
            leases = [await begun(journal, f"run{number}") for number in range(50)]
            occupied = asyncio.ensure_future(journal._write(occupy))  # type: ignore[attr-defined]
            await asyncio.to_thread(taken.wait)
            appends = [asyncio.ensure_future(journal.append(lease, 1, steps(2, 3))) for lease in leases]
            appends.append(asyncio.ensure_future(journal.append(leases[0], 7, steps(2, 3))))
            await asyncio.sleep(0)
            go_on.set()
            await occupied
            return list(await asyncio.gather(*appends, return_exceptions=True))

    results = asyncio.run(attempt())
    assert commits.count("COMMIT") == 2  # the one that was held up, and one for everybody who came meanwhile
    assert results[:-1] == [4] * 50
    assert isinstance(results[-1], SequenceConflict)


def large(start: int, count: int) -> list[AnyEvent]:
    return [StepStarted(NOW, f"web/{number}" + "x" * 20_000, 1, "t") for number in range(start, start + count)]


async def append_until_refused(journal: Journal, lease: Lease) -> int:
    last = 1
    for _ in range(100):
        try:
            last = await journal.append(lease, last, large(last + 1, 10), summary_of("aaaa", steps=last))
        except StoreFull:
            assert last > 1
            return last
    raise AssertionError("the disk never filled up")


async def fills_up(path: Path, make_room: Callable[[SqliteJournal], None]) -> None:
    """Appends until the disk is full; nothing of the refused ones is there; then goes on where it was."""
    journal = SqliteJournal(path)
    await journal.open()
    lease = await begun(journal)
    other = await begun(journal, "bbbb")
    last = await append_until_refused(journal, lease)
    too_large, small = await asyncio.gather(
        journal.append(lease, last, large(last + 1, 100)),
        journal.append(other, 1, steps(2, 1)),
        return_exceptions=True,
    )
    assert isinstance(too_large, StoreFull)
    assert small == 2 or isinstance(small, StoreFull)
    assert [number for number, _ in await journal.read("aaaa")] == list(range(1, last + 1))
    assert (await journal.summary("aaaa")).steps < last
    make_room(journal)
    assert await journal.append(lease, last, large(last + 1, 10)) == last + 10
    await journal.aclose()
    async with opened(lambda: SqliteJournal(path)) as again:
        assert await again.read("aaaa", 1) == list(enumerate(large(2, last + 9), 2))


def test_a_database_that_may_not_grow(tmp_path: Path) -> None:
    async def attempt() -> None:
        def make_room(journal: SqliteJournal) -> None:
            writer = journal._writer
            assert writer is not None
            writer.transactions.connection.execute("PRAGMA max_page_count = 1000000")

        real_open = SqliteJournal.open

        async def open_small(journal: SqliteJournal) -> None:
            await real_open(journal)
            writer = journal._writer
            assert writer is not None
            writer.transactions.connection.execute("PRAGMA max_page_count = 300")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(SqliteJournal, "open", open_small)
            await fills_up(tmp_path / "journal.db", make_room)

    asyncio.run(attempt())


def test_a_disk_that_is_full(mounted: Callable[[str], Path]) -> None:
    disk = mounted("size=3m")
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(1_000_000))
    asyncio.run(fills_up(disk / "journal.db", lambda _: ballast.unlink()))


def test_a_disk_that_is_full_from_the_start(mounted: Callable[[str], Path]) -> None:
    disk = mounted("size=64k")
    (disk / "ballast").write_bytes(bytes(64 * 1024))
    opening_raises(disk / "journal.db", StoreFull, "is full")
    (disk / "ballast").unlink()


def process(mode: str, path: Path, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, str(SCRIPT), mode, "sqlite", str(path), str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_two_processes_write_at_the_same_time(tmp_path: Path) -> None:
    """One drives, the other leaves signals as fast as it can: neither is ever told that the database is locked."""
    path = tmp_path / "journal.db"
    signals = 200

    async def drive() -> tuple[int, int]:
        async with opened(lambda: SqliteJournal(path)) as journal:
            lease = await begun(journal)
            with process("signal", path, signals) as other:
                last = seen = 0
                while seen < signals and other.poll() in (None, 0):
                    last = await journal.append(lease, last or 1, steps(last or 1, 3))
                    seen += len(await journal.signals("aaaa", seen))
                assert other.stdout is not None
                assert other.stdout.read() == f"{signals}\n"
            return last, len(await journal.read("aaaa"))

    last, found = asyncio.run(drive())
    assert last == found > 1


def test_many_processes_open_a_new_store_at_the_same_time(tmp_path: Path) -> None:
    processes = [process("open", tmp_path / "state" / "journal.db", 15) for _ in range(4)]
    for each in processes:
        out, _ = each.communicate()
        assert (each.returncode, out) == (0, "15\n")


def test_a_busy_store_is_told_without_the_words_of_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.db"
    asyncio.run(use(path))
    monkeypatch.setattr(connect, "BUSY_SECONDS", 0.0)
    hog = sqlite3.connect(path, isolation_level=None)
    hog.execute("BEGIN IMMEDIATE")

    async def attempt() -> None:
        async with opened(lambda: SqliteJournal(path)) as journal:
            assert [summary.run for summary in await journal.summaries()] == ["aaaa"]  # readers do not wait
            await journal.signal("aaaa", Signal(SignalKind.PAUSE, NOW))

    with pytest.raises(StoreUnavailable, match="another process has kept") as caught:
        asyncio.run(attempt())
    assert "locked" not in caught.value.message
    hog.close()


def test_a_journal_taken_over_by_another_object_refuses_the_first(tmp_path: Path) -> None:
    async def attempt() -> None:
        path = tmp_path / "journal.db"
        async with opened(lambda: SqliteJournal(path)) as one, opened(lambda: SqliteJournal(path)) as two:
            stale = await begun(one, holder="elsewhere:1:1")
            fresh = await two.acquire("aaaa", "here:1:1", NOW, silent=await two.held("aaaa"))
            for call in (one.append(stale, 1, steps(2, 1)), one.save_snapshot(stale, Snapshot(1, b"")),
                         one.renew(stale, NOW)):  # fmt: skip
                with pytest.raises(LeaseLost):
                    await call
            assert await two.append(fresh, 1, steps(2, 1)) == 2
            assert await one.read("aaaa", 1) == [(2, steps(2, 1)[0])]

    asyncio.run(attempt())


def test_closing_lets_go_of_every_file(tmp_path: Path) -> None:
    asyncio.run(use(tmp_path / "journal.db"))
    held = [link.resolve() for link in Path("/proc/self/fd").iterdir()]
    assert not [path for path in held if tmp_path in path.parents]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["journal.db", "journal.mark"]


def test_a_store_of_format_2_goes_on_with_its_runs(tmp_path: Path) -> None:
    """It knew no environments, and its chain stays what it was."""
    path = tmp_path / "journal.db"

    async def attempt() -> None:
        async with opened(lambda: SqliteJournal(path)) as journal:
            lease = await begun(journal)
            await journal.append(lease, 1, steps(2, 5))
            head = await journal.head("aaaa")
        for table in ("environment", "resource", "delivery", "base"):
            changed(path, f"DROP TABLE {table}")
        changed(path, "PRAGMA user_version = 2")
        async with opened(lambda: SqliteJournal(path)) as journal:
            assert (await journal.head("aaaa"), await journal.environments()) == (head, [])
            assert await journal.deliveries() == []
            await journal_turn_suite.entering(journal, "bbbb")
            assert [one.tenant for one in await journal.environments()] == ["bbbb"]

    asyncio.run(attempt())


def test_space_is_given_back_in_few_transactions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not page by page, each with an fsync; and a file of before, which cannot shrink, is left as it is."""
    path = tmp_path / "journal.db"
    steps_of: list[int] = []
    free = SqliteConnection.free_pages
    monkeypatch.setattr(SqliteConnection, "free_pages", lambda db: steps_of.append(1) or free(db))

    async def attempt(shrinks: bool) -> None:
        steps_of.clear()
        async with opened(lambda: SqliteJournal(path)) as journal:
            run = "aaaa" if shrinks else "bbbb"
            lease, last = await begun(journal, run), 1
            for _ in range(40):
                last = await journal.append(lease, last, steps(last + 1, 500))
            await journal.release(lease)
            await journal.archive([ArchivedRun(summary_of(run, archive="there"), await journal.head(run))])
            space = await journal.compact()
            assert (space.freed > 1_000_000, space.kept > 1_000_000) == (shrinks, not shrinks)
            assert len(steps_of) <= 12

    asyncio.run(attempt(True))
    assert path.stat().st_size < 500_000
    before = sqlite3.connect(path, isolation_level=None)
    before.execute("PRAGMA auto_vacuum = NONE")
    before.execute("VACUUM")
    before.close()
    asyncio.run(attempt(False))
    assert path.stat().st_size > 1_000_000
