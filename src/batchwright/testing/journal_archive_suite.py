"""What every journal must do about archived runs, as `journal_suite`: a line stays, and all comes back."""

from __future__ import annotations

from msgspec.structs import replace

from batchwright.errors import EnvironmentMoved, RunArchived, RunHeld, RunNotFound, SequenceConflict, StoreCorrupt
from batchwright.journal.base import ArchivedRun, Journal, Snapshot
from batchwright.journal.environment_rows import base_digest
from batchwright.journal.event_rows import EventRow
from batchwright.journal.lease_holder import FOR_EVER, moved_to
from batchwright.model.environment import Environment
from batchwright.model.run_signal import Signal, SignalKind
from batchwright.model.run_summary import RunSummary
from batchwright.testing.journal_suite import NOW, Case, Factory, begun, created, opened, refused, steps, summary_of
from batchwright.testing.journal_turn_suite import NGINX, SHOP, WEB

CASES: list[Case] = []
SIGNALS = (Signal(SignalKind.PAUSE, NOW, "ada"), Signal(SignalKind.RESUME, NOW + 1, "bob"))


def case(function: Case) -> Case:
    """Add a case to the suite."""
    CASES.append(function)
    return function


def line_of(run: str, at: float = NOW) -> RunSummary:
    """The summary of an archived run."""
    return summary_of(run, at, archive="archives/one", archived_at=NOW + 9, steps=7)


async def filled(journal: Journal, run: str = "aaaa") -> list[EventRow]:
    """A run with several pages, a snapshot and two signals, that nobody drives; gives its pages."""
    lease, last = await begun(journal, run), 1
    for count in (2, 1_500, 3):
        last = await journal.append(lease, last, steps(last + 1, count))
    await journal.save_snapshot(lease, Snapshot(4, b"fold"))
    for signal in SIGNALS:
        await journal.signal(run, signal)
    await journal.release(lease)
    return await journal.pages(run)


async def archived(journal: Journal, run: str = "aaaa") -> list[EventRow]:
    """The same, archived; gives the pages it had."""
    pages = await filled(journal, run)
    await journal.archive([ArchivedRun(line_of(run), await journal.head(run))])
    return pages


@case
async def test_of_an_archived_run_the_line_and_the_head_stay(factory: Factory) -> None:
    async with opened(factory) as journal:
        await filled(journal, "aaaa")
        kept = await filled(journal, "bbbb")
        head = await journal.head("aaaa")
        await journal.archive([ArchivedRun(line_of("aaaa"), head)])
    async with opened(factory) as journal:
        assert await journal.summary("aaaa") == line_of("aaaa")
        assert {one.run: one.archive for one in await journal.summaries()} == {"aaaa": "archives/one", "bbbb": ""}
        assert (await journal.head("aaaa"), await journal.snapshot("aaaa"), await journal.signals("aaaa")) == (
            head,
            None,
            [],
        )
        for call in (
            lambda: journal.read("aaaa"),
            lambda: journal.read("aaaa", 3),
            lambda: journal.pages("aaaa"),
            lambda: journal.acquire("aaaa", "here", NOW),
            lambda: journal.signal("aaaa", SIGNALS[0]),
        ):
            with refused(RunArchived):
                await call()
        with refused(SequenceConflict):
            await journal.create(created("aaaa"), summary_of("aaaa"))
        assert await journal.losses() == []
        assert await journal.pages("bbbb") == kept
        assert len(await journal.signals("bbbb")) == 2


@case
async def test_archiving_again_changes_nothing(factory: Factory) -> None:
    async with opened(factory) as journal:
        await archived(journal)
        head = await journal.head("aaaa")
        for _ in range(2):
            await journal.archive([ArchivedRun(line_of("aaaa"), head)])
        assert (await journal.summary("aaaa"), await journal.head("aaaa")) == (line_of("aaaa"), head)
        assert await journal.losses() == []


@case
async def test_of_several_all_or_none_are_archived(factory: Factory) -> None:
    async with opened(factory) as journal:
        await filled(journal, "aaaa")
        await begun(journal, "bbbb")
        await filled(journal, "cccc")
        lines = {run: ArchivedRun(line_of(run), await journal.head(run)) for run in ("aaaa", "bbbb", "cccc")}
        with refused(RunHeld):
            await journal.archive(list(lines.values()))
        lines["cccc"] = replace(lines["cccc"], head=replace(lines["cccc"].head, seq=3))
        with refused(SequenceConflict):
            await journal.archive([lines["aaaa"], lines["cccc"]])
        assert [one.archive for one in await journal.summaries()] == ["", "", ""]
        assert len(await journal.read("aaaa")) == 1_506


@case
async def test_a_run_that_was_moved_away_is_not_archived(factory: Factory) -> None:
    async with opened(factory) as journal:
        await filled(journal)
        lease = await journal.acquire("aaaa", moved_to("elsewhere"), NOW)
        await journal.renew(lease, NOW, FOR_EVER)
        with refused(RunHeld):
            await journal.archive([ArchivedRun(line_of("aaaa"), await journal.head("aaaa"))])


@case
async def test_a_line_alone_can_be_written(factory: Factory) -> None:
    """As a move between stores does it."""
    async with opened(factory) as other:
        head = (await archived(other), await other.head("aaaa"))[1]
        line = ArchivedRun(line_of("zzzz", NOW - 5), head)
        await other.archive([line])
    async with opened(factory) as journal:
        assert [one.run for one in await journal.summaries()] == ["aaaa", "zzzz"]
        assert (await journal.head("zzzz"), await journal.losses()) == (head, [])
        with refused(RunArchived):
            await journal.read("zzzz")


@case
async def test_what_is_put_back_is_as_it_was(factory: Factory) -> None:
    async with opened(factory) as journal:
        pages = await archived(journal)
        head = await journal.head("aaaa")
        await journal.put_back("aaaa", pages[:2])
        with refused(RunArchived):
            await journal.read("aaaa", 0)
        with refused(StoreCorrupt):
            await journal.unarchive(summary_of("aaaa"), SIGNALS)
    async with opened(factory) as journal:
        for part in (pages[:1], pages[1:3], pages[2:], pages[3:]):  # again, from anywhere that is reached
            await journal.put_back("aaaa", part)
        await journal.unarchive(summary_of("aaaa"), SIGNALS)
    async with opened(factory) as journal:
        assert (await journal.pages("aaaa"), await journal.head("aaaa")) == (pages, head)
        assert await journal.summary("aaaa") == summary_of("aaaa")
        assert [signal for _, signal in await journal.signals("aaaa")] == list(SIGNALS)
        assert await journal.losses() == []
        lease = await journal.acquire("aaaa", "here", NOW)
        assert await journal.append(lease, head.seq, steps(1, 2)) == head.seq + 2
        for call in (journal.put_back("aaaa", pages), journal.unarchive(summary_of("aaaa"))):
            with refused(SequenceConflict):
                await call


@case
async def test_pages_of_something_else_are_not_put_back(factory: Factory) -> None:
    async with opened(factory) as journal:
        pages = await archived(journal)
        other = await filled(journal, "bbbb")
        with refused(StoreCorrupt):
            await journal.put_back("aaaa", pages[1:])
        with refused(StoreCorrupt):
            await journal.put_back("aaaa", other)
        with refused(StoreCorrupt):
            await journal.put_back("aaaa", [pages[0], pages[1]._replace(body=pages[0].body)])
        with refused(RunNotFound):
            await journal.put_back("none", pages)
        with refused(SequenceConflict):
            await journal.put_back("bbbb", other)
        with refused(StoreCorrupt):
            await journal.unarchive(summary_of("aaaa"))


@case
async def test_an_environment_keeps_what_it_had_at_its_base(factory: Factory) -> None:
    row = Environment("real", "shop", turn=4, newest="cccc", through=4, fold=1)
    async with opened(factory) as journal:
        await journal.write_environment(None, row, [WEB, NGINX])
        assert await journal.base_resources(SHOP) == []
        for turn, base in ((4, [NGINX, WEB]), (6, [WEB])):
            based = replace(row, base=turn, base_digest=base_digest(base))
            await journal.write_environment(row, based, base=base)
            row = based
            assert await journal.base_resources(SHOP) == sorted(base, key=lambda one: one.key)
        with refused(EnvironmentMoved):
            await journal.write_environment(replace(row, turn=9), row, base=[NGINX])
        moved = replace(row, turn=5)
        await journal.write_environment(row, moved, [NGINX])
    async with opened(factory) as journal:
        assert (await journal.resources(SHOP), await journal.base_resources(SHOP)) == ([NGINX], [WEB])
        assert await journal.environment(SHOP) == moved
        await journal.write_environment(moved, replace(moved, base_digest=base_digest([NGINX])))
        with refused(StoreCorrupt):
            await journal.base_resources(SHOP)


@case
async def test_a_store_gives_back_space_and_stays_what_it_is(factory: Factory) -> None:
    async with opened(factory) as journal:
        await archived(journal)
        kept = await filled(journal, "bbbb")
        space = await journal.compact()
        assert space.freed >= 0 <= space.kept
        assert await journal.compact() == replace(space, freed=0)
        assert (await journal.pages("bbbb"), await journal.losses()) == (kept, [])
