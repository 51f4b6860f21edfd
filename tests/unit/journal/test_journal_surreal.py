"""The SurrealDB store on its own: opening, refusing, damage, a full disk, errors that must not pass unseen."""

import asyncio
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batchwright.errors import (
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreNewer,
    StorePackageMissing,
    StoreReadOnly,
    StoreUnavailable,
)
from batchwright.journal.high_water_mark import Entry, HighWaterMark
from batchwright.journal.surreal import SurrealJournal, integrity
from batchwright.journal.surreal.database import SURREALQL, QueryRefused
from batchwright.journal.surreal.embedded import engine
from batchwright.journal.surreal.embedded.engine import Engine
from batchwright.model.events import AnyEvent, StepStarted
from batchwright.testing.journal_suite import NOW, begun, created, opened, steps, summary_of


def opening_raises(folder: Path, error: type[StoreError], match: str) -> StoreError:
    async def attempt() -> None:
        await SurrealJournal(folder).open()

    with pytest.raises(error, match=match) as caught:
        asyncio.run(attempt())
    assert type(caught.value) is error
    return caught.value


async def filled(folder: Path, appends: int = 20) -> None:
    async with opened(lambda: SurrealJournal(folder)) as journal:
        lease = await begun(journal)
        for number in range(appends):
            await journal.append(lease, 1 + number * 3, steps(2 + number * 3, 3), summary_of("aaaa", steps=number))


async def found(folder: Path) -> tuple[int, int]:
    """The last sequence, and which append's summary it is."""
    async with opened(lambda: SurrealJournal(folder)) as journal:
        events = await journal.read("aaaa")
        assert events[1:] == list(enumerate(steps(2, len(events) - 1), 2))
        return len(events), (await journal.summary("aaaa")).steps


def log(folder: Path) -> Path:
    return folder / "database" / "clog" / "00000000000000000000.clog"


def test_the_missing_package_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "surrealdb", None)
    told = opening_raises(tmp_path / "store", StorePackageMissing, "not installed")
    assert told.hint == "pip install 'batchwright[surrealdb]'"
    monkeypatch.undo()
    asyncio.run(filled(tmp_path / "store"))  # and the failed attempt holds nothing back


def test_the_store_is_private_and_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SURREAL_SYNC_DATA", "1")  # which the engine would take for no
    asyncio.run(filled(tmp_path / "state" / "store"))
    assert os.environ["SURREAL_SYNC_DATA"] == "true"
    assert [(tmp_path / part).stat().st_mode & 0o777 for part in ("state", "state/store")] == [0o700, 0o700]


def test_a_newer_store_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(integrity, "FORMAT", 6)
        asyncio.run(filled(tmp_path))
    opening_raises(tmp_path, StoreNewer, r"format 6; this Batchwright knows formats up to 5")


def test_a_store_of_format_4_learns_which_runs_had_no_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def older() -> None:
        await filled(tmp_path)
        async with opened(lambda: SurrealJournal(tmp_path)) as journal:
            await journal.create(created("bbbb"), summary_of("bbbb", turn=1))
        texts = SURREALQL | {"older": "DELETE run_without_turn; UPDATE store:this SET version = 4;"}
        with monkeypatch.context() as patch:
            patch.setattr(engine, "SURREALQL", texts)
            opened_engine = Engine(tmp_path / "database", HighWaterMark(tmp_path / "journal.mark"))
            await opened_engine.open()
            await opened_engine.query("older")
            await opened_engine.aclose()

    async def newest() -> list[str]:
        async with opened(lambda: SurrealJournal(tmp_path)) as journal:
            return [one.run for one in await journal.newest_runs()]

    asyncio.run(older())
    assert asyncio.run(newest()) == ["aaaa"]


def test_a_folder_that_cannot_be_written_is_told(mounted: Callable[[str], Path]) -> None:
    disk = mounted("ro,size=1m")
    opening_raises(disk, StoreReadOnly, "cannot be written")
    opening_raises(disk / "deeper", StoreReadOnly, "cannot be written")


@pytest.mark.parametrize("name", ["clog", "manifest"])
def test_files_that_are_no_database_are_told(name: str, tmp_path: Path) -> None:
    asyncio.run(filled(tmp_path))
    (file,) = (tmp_path / "database" / name).iterdir()
    file.write_bytes(b"garbage")
    opening_raises(tmp_path, StoreCorrupt, "damaged or is not a Batchwright store")
    assert file.read_bytes() == b"garbage"


@pytest.mark.parametrize("part", [0.02, 0.1, 0.5, 0.9])
def test_damage_inside_the_log_is_told_and_nothing_is_cut_off(part: float, tmp_path: Path) -> None:
    """The engine by itself would drop every commit after the damage and open as if nothing were missing."""
    asyncio.run(filled(tmp_path / "store"))
    whole = log(tmp_path / "store").read_bytes()
    damaged = bytearray(whole)
    damaged[max(200, int(len(whole) * part))] ^= 1
    log(tmp_path / "store").write_bytes(damaged)
    for _ in range(2):
        told = opening_raises(tmp_path / "store", StoreCorrupt, "is damaged at byte")
        assert "only record" in told.hint
        assert log(tmp_path / "store").read_bytes() == damaged
    log(tmp_path / "store").write_bytes(whole)
    assert asyncio.run(found(tmp_path / "store")) == (61, 19)


def test_a_commit_that_was_cut_short_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    """A log that ends anywhere within its last commit, as after a power cut, opens at the one before or after it."""

    async def go_on(folder: Path, last: int) -> None:
        async with opened(lambda: SurrealJournal(folder)) as journal:
            lease = await journal.acquire("aaaa", "here", NOW)
            assert await journal.append(lease, last, steps(last + 1, 3)) == last + 3

    asyncio.run(filled(tmp_path / "before", 3))
    asyncio.run(filled(tmp_path / "store", 4))
    begin, end = (log(tmp_path / name).stat().st_size for name in ("before", "store"))
    seen = set()
    for length in range(begin + 20, end + 1, 23):
        cut = tmp_path / f"cut{length}"
        shutil.copytree(tmp_path / "store", cut)
        os.truncate(log(cut), length)
        shutil.copy(tmp_path / "before" / "journal.mark", cut)  # nobody was told of the last commit
        last, summary = asyncio.run(found(cut))
        assert (last, summary) in ((10, 2), (13, 3))
        asyncio.run(go_on(cut, last))
        assert asyncio.run(found(cut)) == (last + 3, summary)
        seen.add(last)
    assert 10 in seen


def large(start: int, count: int) -> list[AnyEvent]:
    return [StepStarted(NOW, f"web/{number}" + "x" * 20_000, 1, "t") for number in range(start, start + count)]


async def fills_up(folder: Path, ballast: Path, readable: bool) -> None:
    journal = SurrealJournal(folder)
    await journal.open()
    lease = await begun(journal)
    last = 1
    for _ in range(100):
        try:
            last = await journal.append(lease, last, large(last + 1, 10))
        except StoreFull:
            break
    else:
        raise AssertionError("the disk never filled up")
    assert last > 1
    with pytest.raises(StoreFull):
        await journal.append(lease, last, large(last + 1, 10))
    if readable:
        assert len(await journal.read("aaaa")) == last
    ballast.unlink()
    assert await journal.append(lease, last, large(last + 1, 10)) == last + 10
    await journal.aclose()
    async with opened(lambda: SurrealJournal(folder)) as again:
        assert await again.read("aaaa", 1) == list(enumerate(large(2, last + 9), 2))


def test_a_disk_that_is_nearly_full_is_still_read(mounted: Callable[[str], Path]) -> None:
    disk = mounted("size=12m")
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(5_000_000))
    asyncio.run(fills_up(disk / "store", ballast, readable=True))


def test_a_disk_that_filled_up_all_the_same(mounted: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine breaks when a write fails, and needs room to mend its log: both end when there is space again."""
    monkeypatch.setattr(engine.Engine, "need_space", lambda self, size: None)
    disk = mounted("size=9m")
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(7_000_000))
    asyncio.run(fills_up(disk / "store", ballast, readable=False))


async def with_engine(folder: Path, work: Callable[[Engine], Any]) -> Any:
    folder.mkdir(parents=True, exist_ok=True)
    database = Engine(folder / "database")
    await database.open()
    try:
        return await work(database)
    finally:
        await database.aclose()


def test_an_error_in_any_statement_is_raised_and_undoes_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = {
        "first": "BEGIN; CREATE thing:a; THROW 'refused 3 word and more'; CREATE thing:b; COMMIT;",
        "clash": "BEGIN; CREATE thing:c; CREATE thing:c; CREATE thing:d; COMMIT;",
        "later": "CREATE thing:e; CREATE thing:e; RETURN 7;",
        "wrong": "SELEKT 1;",
        "count": "SELECT VALUE id FROM thing",
    }
    monkeypatch.setattr(engine, "SURREALQL", texts)

    async def work(database: Engine) -> None:
        with pytest.raises(QueryRefused) as refused:
            await database.query("first")
        assert (refused.value.number, refused.value.word, refused.value.detail) == (3, "word", "and more ")
        with pytest.raises(StoreUnavailable, match="already exists"):
            await database.query("clash")
        assert await database.query("count") == []
        for name in ("later", "wrong"):
            with pytest.raises(StoreUnavailable, match="cannot be used"):
                await database.query(name)

    asyncio.run(with_engine(tmp_path, work))


def test_a_panic_of_the_engine_is_an_error_like_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class PanicException(BaseException):
        pass

    async def panic(*_: object) -> None:
        raise PanicException("index out of bounds")

    async def attempt() -> None:
        async with opened(lambda: SurrealJournal(tmp_path)) as journal:
            lease = await begun(journal)
            with monkeypatch.context() as patch:
                patch.setattr("surrealdb.AsyncEmbeddedSurrealConnection.query_raw", panic)
                with pytest.raises(StoreUnavailable, match="index out of bounds"):
                    await journal.append(lease, 1, steps(2, 1))
                with pytest.raises(StoreUnavailable, match="index out of bounds"):
                    await journal.read("aaaa")
            assert await journal.append(lease, 1, steps(2, 1)) == 2

    asyncio.run(attempt())


def test_closing_lets_go_of_every_file(tmp_path: Path) -> None:
    async def held_after_closing() -> list[Path]:
        journal = SurrealJournal(tmp_path)
        await journal.open()
        await begun(journal)
        await journal.aclose()
        return [link.resolve() for link in Path("/proc/self/fd").iterdir()]

    assert not [path for path in asyncio.run(held_after_closing()) if tmp_path in path.parents]


def test_what_the_engine_says_of_mending_is_kept_in_a_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    asyncio.run(filled(tmp_path))
    assert not (tmp_path / "engine.log").exists()
    os.truncate(log(tmp_path), log(tmp_path).stat().st_size - 7)
    HighWaterMark(tmp_path / "journal.mark").make([Entry("aaaa", 58, None)])  # nobody was told of the last commit
    asyncio.run(found(tmp_path))
    print("ours")
    assert capfd.readouterr() == ("ours\n", "")
    assert "Repairing corrupted segment" in (tmp_path / "engine.log").read_text()
