"""What every journal must do, as plain coroutines that need no test runner.

    @pytest.mark.parametrize("case", journal_suite.CASES, ids=lambda case: case.__name__)
    def test_my_journal(case, tmp_path):
        asyncio.run(case(lambda: MyJournal(tmp_path)))

The cases about chain and mark are in `journal_chain_suite`.

A case is given a factory. Every call of it within one case gives a journal, not yet opened, on the same store; it may
be the same object each time. The store is empty at first.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from msgspec.structs import replace

from batchwright.errors import LeaseLost, RunHeld, RunNotFound, SequenceConflict
from batchwright.journal.base import Journal, Lease, Snapshot
from batchwright.journal.lease_holder import FOR_EVER, HeldLease, driver_of, moved_to, own_holder
from batchwright.model.approver import Principal
from batchwright.model.events import AnyEvent, RunCreated, RunStarted, StepStarted, StepSucceeded
from batchwright.model.lifecycle import RunState
from batchwright.model.plan import Plan
from batchwright.model.run_signal import HoldAnswer, Signal, SignalKind
from batchwright.model.run_summary import RunSummary

Factory = Callable[[], Journal]
Case = Callable[[Factory], Awaitable[None]]

NOW = 1_700_000_000.0
CASES: list[Case] = []


def case(function: Case) -> Case:
    """Add a case to the suite."""
    CASES.append(function)
    return function


def created(run: str, at: float = NOW) -> RunCreated:
    """The first event of a run with an empty plan."""
    return RunCreated(at, run, Plan("shop", "1.0.0", "filesystem", 10, True, (), ()), by="suite")


def summary_of(run: str, at: float = NOW, **changes: Any) -> RunSummary:
    """A summary of a run that has just been created."""
    return replace(RunSummary(run, "shop", "1.0.0", RunState.PENDING, "filesystem", at), **changes)


def steps(start: int, count: int) -> list[AnyEvent]:
    """Distinct events; text with quotes, newlines and letters beyond ASCII must come back as it was."""
    return [
        StepStarted(NOW + number / 8, f'web/"{number}"\n\u00fc\u2603\U0001f409', 1, f"token{number}")
        for number in range(start, start + count)
    ]


@contextmanager
def refused(error: type[Exception]) -> Iterator[None]:
    """The block must raise exactly this class."""
    try:
        yield
    except error as raised:
        if type(raised) is not error:
            raise AssertionError(f"{type(raised).__name__} instead of {error.__name__}") from raised
    else:
        raise AssertionError(f"{error.__name__} was not raised")


@asynccontextmanager
async def opened(factory: Factory) -> AsyncIterator[Journal]:
    """A journal, opened, closed at the end."""
    journal = factory()
    await journal.open()
    try:
        yield journal
    finally:
        await journal.aclose()


async def begun(journal: Journal, run: str = "aaaa", holder: str = "here") -> Lease:
    """A new run and the lease on it."""
    await journal.create(created(run), summary_of(run))
    return await journal.acquire(run, holder, NOW)


@case
async def test_a_new_store_holds_nothing(factory: Factory) -> None:
    async with opened(factory) as journal:
        assert await journal.summaries() == []
        assert await journal.snapshot("none") is None
        assert driver_of(await journal.held("none"), NOW) is None
        assert await journal.signals("none") == []
        assert journal.name


@case
async def test_an_unknown_run_is_said_to_be_unknown(factory: Factory) -> None:
    nobody = Lease("none", "here", 1, NOW)
    signal = Signal(SignalKind.PAUSE, NOW)
    async with opened(factory) as journal:
        for call in (
            lambda: journal.read("none"),
            lambda: journal.summary("none"),
            lambda: journal.append(nobody, 0, steps(0, 1)),
            lambda: journal.save_snapshot(nobody, Snapshot(1, b"")),
            lambda: journal.acquire("none", "here", NOW),
            lambda: journal.signal("none", signal),
        ):
            with refused(RunNotFound):
                await call()


@case
async def test_a_created_run_is_there_after_reopening(factory: Factory) -> None:
    async with opened(factory) as journal:
        await journal.create(created("aaaa"), summary_of("aaaa"))
        with refused(SequenceConflict):
            await journal.create(created("aaaa"), summary_of("aaaa"))
    async with opened(factory) as journal:
        assert await journal.read("aaaa") == [(1, created("aaaa"))]
        assert await journal.summary("aaaa") == summary_of("aaaa")


@case
async def test_events_come_back_as_they_were_and_numbered(factory: Factory) -> None:
    async with opened(factory) as journal:
        lease = await begun(journal)
        assert await journal.append(lease, 1, steps(2, 3)) == 4
        assert await journal.append(lease, 4, steps(5, 1)) == 5
        assert await journal.append(lease, 5, []) == 5
    async with opened(factory) as journal:
        assert await journal.read("aaaa", 1) == list(enumerate(steps(2, 4), 2))
        assert await journal.read("aaaa", 5) == []
        assert await journal.read("aaaa", 99) == []


@case
async def test_reading_in_pieces_gives_each_event_once(factory: Factory) -> None:
    """Whatever the sizes of the appends and of the pieces."""
    async with opened(factory) as journal:
        lease = await begun(journal)
        last = 1
        for size in (1, 7, 2_500, 1, 40):
            last = await journal.append(lease, last, steps(last + 1, size))
        everything = await journal.read("aaaa", 0, 10_000)
        assert [number for number, _ in everything] == list(range(1, last + 1))
        assert [event for _, event in everything[1:]] == steps(2, last - 1)
        for limit in (1_000, 999, 333):
            pieces: list[tuple[int, AnyEvent]] = []
            for _ in range(last):
                piece = await journal.read("aaaa", len(pieces), limit)
                if not piece:
                    break
                assert len(piece) == min(limit, last - len(pieces))
                pieces += piece
            assert pieces == everything
        assert await journal.read("aaaa", 8, 1) == everything[8:9]


@case
async def test_an_append_that_does_not_follow_changes_nothing(factory: Factory) -> None:
    async with opened(factory) as journal:
        lease = await begun(journal)
        await journal.append(lease, 1, steps(2, 2))
        for after in (0, 1, 2, 4):
            with refused(SequenceConflict):
                await journal.append(lease, after, steps(9, 1), summary_of("aaaa", steps=9))
        assert await journal.read("aaaa", 1) == list(enumerate(steps(2, 2), 2))
        assert await journal.summary("aaaa") == summary_of("aaaa")


@case
async def test_appends_that_wait_together_succeed_or_fail_each_on_its_own(factory: Factory) -> None:
    async with opened(factory) as journal:
        leases = [await begun(journal, f"run{number}") for number in range(20)]
        after = [1 if number % 3 else 7 for number in range(20)]
        after_stale = replace(leases[1], fence=99)
        results = await asyncio.gather(
            *(journal.append(lease, at, steps(2, 2)) for lease, at in zip(leases, after, strict=True)),
            journal.append(after_stale, 1, steps(2, 1)),
            return_exceptions=True,
        )
        assert isinstance(results.pop(), LeaseLost)
        for number, result in enumerate(results):
            fits = bool(number % 3)
            assert result == 3 if fits else isinstance(result, SequenceConflict), (number, result)
            assert len(await journal.read(f"run{number}")) == (3 if fits else 1)


@case
async def test_of_two_appends_at_the_same_place_one_wins(factory: Factory) -> None:
    async with opened(factory) as journal:
        lease = await begun(journal)
        results = await asyncio.gather(
            *(journal.append(lease, 1, steps(number, 1)) for number in range(5)), return_exceptions=True
        )
        assert sorted(map(str, map(type, results))) == sorted([str(int), *[str(SequenceConflict)] * 4])
        assert len(await journal.read("aaaa")) == 2


@case
async def test_a_summary_is_replaced_with_its_append(factory: Factory) -> None:
    later = summary_of("aaaa", status=RunState.RUNNING, steps=4, providers={"aws": {"steps": 4}})
    async with opened(factory) as journal:
        lease = await begun(journal)
        await journal.append(lease, 1, [RunStarted(NOW)], later)
        await journal.append(lease, 2, [StepSucceeded(NOW, "web/a", "ref-1")])
        assert await journal.summary("aaaa") == later
        await journal.append(lease, 3, [], replace(later, steps=5))
        assert (await journal.summary("aaaa")).steps == 5


@case
async def test_summaries_are_newest_first(factory: Factory) -> None:
    async with opened(factory) as journal:
        for run, at in (("bbbb", NOW), ("dddd", NOW + 5), ("aaaa", NOW), ("cccc", NOW - 5)):
            await journal.create(created(run, at), summary_of(run, at))
        assert [summary.run for summary in await journal.summaries()] == ["dddd", "aaaa", "bbbb", "cccc"]


@case
async def test_a_lease_keeps_others_away_while_its_holder_gives_signs_of_life(factory: Factory) -> None:
    """D5: independent of any clock."""
    async with opened(factory) as journal:
        first = await begun(journal, holder="elsewhere:1:1")
        assert (first.run, first.holder) == ("aaaa", "elsewhere:1:1")
        seen = await journal.held("aaaa")
        assert seen == HeldLease("elsewhere:1:1", first.fence, first.expires)
        for now in (NOW, first.expires - 0.5, first.expires + 0.5, NOW + 1e9, NOW - 1e9):
            with refused(RunHeld):
                await journal.acquire("aaaa", "here", now)
        renewed = await journal.renew(first, NOW - 5 * 3600)
        assert renewed.fence == first.fence
        assert await journal.held("aaaa") not in (None, seen)
        with refused(RunHeld):
            await journal.acquire("aaaa", "here", NOW + 1e9, silent=seen)
        second = await journal.acquire("aaaa", "here", NOW - 1e9, silent=await journal.held("aaaa"))
        assert second.fence > first.fence
        with refused(RunHeld):
            await journal.acquire(
                "aaaa", "there", NOW, silent=HeldLease(renewed.holder, renewed.fence, renewed.expires)
            )


@case
async def test_what_was_moved_away_is_never_taken(factory: Factory) -> None:
    """D5: a moved run gives no signs of life, and is still not taken for one whose driver died."""
    async with opened(factory) as journal:
        lease = await begun(journal, holder=moved_to("elsewhere"))
        await journal.renew(lease, NOW, FOR_EVER)
        with refused(RunHeld):
            await journal.acquire("aaaa", "here", NOW + 1e12, silent=await journal.held("aaaa"))


@case
async def test_a_stale_driver_is_refused_everywhere(factory: Factory) -> None:
    async with opened(factory) as journal:
        stale = await begun(journal, holder="elsewhere:1:1")
        fresh = await journal.acquire("aaaa", "here", NOW, silent=await journal.held("aaaa"))
        with refused(LeaseLost):
            await journal.append(stale, 1, steps(2, 1))
        with refused(LeaseLost):
            await journal.save_snapshot(stale, Snapshot(1, b"stale"))
        with refused(LeaseLost):
            await journal.renew(stale, NOW)
        await journal.release(stale)
        assert driver_of(await journal.held("aaaa"), NOW + 5) == "here"
        assert await journal.snapshot("aaaa") is None
        assert await journal.append(fresh, 1, steps(2, 1)) == 2


@case
async def test_a_released_run_is_free_at_once_and_its_fence_still_grows(factory: Factory) -> None:
    async with opened(factory) as journal:
        first = await begun(journal, holder="elsewhere:1:1")
        await journal.release(first)
        await journal.release(first)
        assert driver_of(await journal.held("aaaa"), NOW) is None
        with refused(LeaseLost):
            await journal.append(first, 1, steps(2, 1))
    async with opened(factory) as journal:
        second = await journal.acquire("aaaa", "here", NOW)
        assert second.fence > first.fence
        third = await journal.acquire("aaaa", "here", NOW)
        assert third.fence > second.fence


@case
async def test_a_dead_driver_on_this_machine_is_replaced_at_once(factory: Factory) -> None:
    rest, _, start = own_holder().rpartition(":")
    dead = f"{rest}:0@{start.partition('@')[2]}"  # this process's number, but started at another time
    async with opened(factory) as journal:
        first = await begun(journal, holder=dead)
        assert driver_of(await journal.held("aaaa"), NOW) is None
        second = await journal.acquire("aaaa", own_holder(), NOW)
        assert second.fence > first.fence
        with refused(RunHeld):
            await journal.acquire("aaaa", "elsewhere:1:1", NOW)


@case
async def test_the_newest_snapshot_is_kept(factory: Factory) -> None:
    async with opened(factory) as journal:
        lease = await begun(journal)
        assert await journal.snapshot("aaaa") is None
        await journal.append(lease, 1, steps(2, 9))
        body = bytes(range(256)) * 5_000
        await journal.save_snapshot(lease, Snapshot(5, b"five"))
        await journal.save_snapshot(lease, Snapshot(9, body))
        await journal.save_snapshot(lease, Snapshot(7, b"older"))
    async with opened(factory) as journal:
        assert await journal.snapshot("aaaa") == Snapshot(9, body)


@case
async def test_signals_are_numbered_in_order(factory: Factory) -> None:
    pause, cancel = Signal(SignalKind.PAUSE, NOW, "me"), Signal(SignalKind.CANCEL, NOW + 1)
    said = HoldAnswer("ok/ask", 1, "0" * 16, False, Principal("0@here", "ada"), "not today")
    answer = Signal(SignalKind.ANSWER, NOW + 2, "ada", said)
    async with opened(factory) as journal:
        await begun(journal, "aaaa")
        await begun(journal, "bbbb")
        await journal.signal("aaaa", pause)
        await journal.signal("bbbb", cancel)
        await journal.signal("aaaa", cancel)
    async with opened(factory) as journal:
        assert await journal.signals("aaaa") == [(1, pause), (2, cancel)]
        assert await journal.signals("aaaa", 1) == [(2, cancel)]
        assert await journal.signals("bbbb") == [(1, cancel)]
        await journal.signal("aaaa", answer)
        assert await journal.signals("aaaa", 2) == [(3, answer)]


@case
async def test_a_second_opener_sees_and_signals_what_the_first_drives(factory: Factory) -> None:
    """What `status`, `monitor`, `pause` and `cancel` need from a second terminal."""
    async with opened(factory) as first:
        lease = await begun(first)
        await first.append(lease, 1, steps(2, 2_500), summary_of("aaaa", steps=3))
        async with opened(factory) as second:
            assert await second.read("aaaa", 1) == list(enumerate(steps(2, 2_500), 2))
            assert await second.summary("aaaa") == summary_of("aaaa", steps=3)
            assert [summary.run for summary in await second.summaries()] == ["aaaa"]
            assert driver_of(await second.held("aaaa"), NOW) == "here"
            await first.save_snapshot(lease, Snapshot(2, b"two"))
            assert await second.snapshot("aaaa") == Snapshot(2, b"two")
            await second.signal("aaaa", Signal(SignalKind.CANCEL, NOW, "there"))
            assert await first.signals("aaaa") == [(1, Signal(SignalKind.CANCEL, NOW, "there"))]
            assert await second.signals("aaaa", 1) == []
            with refused(RunNotFound):
                await second.read("none")
        await first.append(lease, 2_501, steps(2_502, 1))


@case
async def test_a_caller_that_stops_waiting_harms_nobody(factory: Factory) -> None:
    async with opened(factory) as journal:
        lease = await begun(journal)
        other = await begun(journal, "bbbb")
        impatient = asyncio.ensure_future(journal.append(lease, 1, steps(2, 1)))
        patient = asyncio.ensure_future(journal.append(other, 1, steps(2, 1)))
        await asyncio.sleep(0)
        impatient.cancel()
        assert await patient == 2
        written = len(await journal.read("aaaa"))
        assert await journal.append(lease, written, steps(3, 1)) == written + 1


@case
async def test_closing_twice_and_opening_again_is_fine(factory: Factory) -> None:
    journal = factory()
    await journal.open()
    await journal.create(created("aaaa"), summary_of("aaaa"))
    await journal.aclose()
    await journal.aclose()
    await journal.open()
    assert [summary.run for summary in await journal.summaries()] == ["aaaa"]
    await journal.aclose()
