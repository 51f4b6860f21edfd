"""Moving runs between stores, with a process that dies anywhere; and looking whether what a store holds is sound."""

from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import pytest
from msgspec.structs import replace

from batchwright.app import run_transfer
from batchwright.app.environment_transfer import MovedRun
from batchwright.app.lease_takeover import renewed
from batchwright.app.store_check import IntegrityReport, StoreSeen, check
from batchwright.app.store_transfer import migrate
from batchwright.errors import RunAmbiguous, RunHeld, RunMoved, RunNotFound, UsageError
from batchwright.journal.base import Journal, Snapshot
from batchwright.journal.replay import load_run
from batchwright.model import events as ev
from batchwright.model.approver import Principal
from batchwright.model.delivery import Delivery
from batchwright.model.environment import copy_of
from batchwright.model.lifecycle import RunState
from batchwright.model.run import Run
from batchwright.model.run_signal import HoldAnswer, Signal, SignalKind
from batchwright.model.run_snapshot import encode_snapshot
from batchwright.testing.crash_points import CrashPoint, ProcessDied, When
from batchwright.testing.virtual_clock import VirtualClock, run_virtual
from tests.crash.scenarios import plan, servers
from tests.unit.app.store_pair import FOLDER, SQLITE, StorePair

HERE, THERE = SQLITE, FOLDER
HOOK = Delivery("", "workflow/ci", cursor=2, due=9.0, sender="x:1:1")


SIGNALS = [
    Signal(SignalKind.PAUSE, 3.0, "ada"),
    Signal(SignalKind.ANSWER, 4.0, "ada", HoldAnswer("ok/ask", 1, "0" * 16, True, Principal("0@here", "ada"))),
]


def history(run: str) -> list[ev.AnyEvent]:
    """A run of five servers that were made, then the process died."""
    made = plan({"seed": 1}, servers("up", "upcloud", *"abcde"))
    events: list[ev.AnyEvent] = [ev.RunCreated(1.0, run, made, "me"), ev.DriverStarted(2.0, "x:1:1", 1)]
    events.append(ev.RunStarted(2.5))
    for number, step in enumerate(made.steps):
        events += [ev.StepStarted(3.0 + number, step.id, 1, "t"), ev.StepCreated(3.5 + number, step.id, f"ref{number}")]
    return events


async def record(journal: Journal, run: str, *, lag: int = 0) -> list[ev.AnyEvent]:
    """The history in a store; the summary may be some events behind, as it is after a kill."""
    events = history(run)
    created = events[0]
    assert isinstance(created, ev.RunCreated)
    await journal.create(created, Run(created).summary(journal.name))
    lease = await journal.acquire(run, "x:1:1", 2.0)
    summary = Run.replay(events[: len(events) - lag]).summary(journal.name)
    await journal.append(lease, 1, events[1:], summary)
    await journal.release(lease)
    await journal.write_delivery(None, HOOK.changed(run=run))
    for signal in SIGNALS:
        await journal.signal(run, signal)
    return events


async def two(*runs: str) -> StorePair:
    pair = StorePair.fresh(VirtualClock())
    for run in runs:
        await record(pair.journals[HERE], run)
    return pair


async def moved(pair: StorePair, origin: str = HERE, destination: str = THERE, *words: str) -> list[MovedRun]:
    found = [one async for one in migrate(pair, pair.clock, origin, destination, words)]
    assert not [one for one in found if not isinstance(one, MovedRun)]
    return [one for one in found if isinstance(one, MovedRun)]


async def sound(pair: StorePair) -> list[IntegrityReport]:
    found = [one async for one in check(pair, pair.clock)]
    assert [one.store for one in found if isinstance(one, StoreSeen) and not one.problems] == [HERE, THERE]
    return [one for one in found if isinstance(one, IntegrityReport)]


def run_test(work: Coroutine[Any, Any, None]) -> None:
    run_virtual(work)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_transfer, "PIECE", 5)


def test_runs_are_moved_whole_and_seen_once() -> None:
    async def attempt() -> None:
        pair = await two("aaaa1111", "bbbb2222")
        assert await moved(pair) == [MovedRun("bbbb2222", "w", 13), MovedRun("aaaa1111", "w", 13)]
        assert [(row.run, row.store) for row in await pair.summaries()] == [("aaaa1111", THERE), ("bbbb2222", THERE)]
        assert await pair.journals[THERE].signals("aaaa1111") == list(enumerate(SIGNALS, 1))
        journal, run = await pair.find("aaaa")
        assert (journal.name, [event for _, event in await journal.read(run)]) == (THERE, history("aaaa1111"))
        assert [(one.store, one.run, one.events, one.problems) for one in await sound(pair)] == [
            (THERE, "bbbb2222", 13, ()), (THERE, "aaaa1111", 13, ())]  # fmt: skip
        with pytest.raises(RunHeld, match="is being moved, or was moved, to the store surrealdb"):
            await pair.journals[HERE].acquire("aaaa1111", "me:1:1", pair.clock.now() + 1e9)
        lease = await journal.acquire(run, "me:1:1", pair.clock.now())  # the new one is free at once
        await journal.append(lease, 13, [ev.DriverStarted(9.0, "me:1:1", lease.fence)])
        assert await moved(pair) == []

    run_test(attempt())


def test_a_run_goes_back_with_what_happened_to_it_there() -> None:
    async def attempt() -> None:
        pair = await two("aaaa1111")
        await moved(pair)
        journal, run = await pair.find("aaaa")
        lease = await journal.acquire(run, "me:1:1", pair.clock.now())
        await journal.append(lease, 13, [ev.RunPaused(20.0, "me")])
        await journal.release(lease)
        [hook] = await journal.deliveries(run)  # what webhooks have had goes with the run
        assert (hook.cursor, hook.due, hook.sender) == (2, 9.0, "")
        await journal.write_delivery(hook, hook.changed(cursor=7))
        assert await moved(pair, THERE, HERE) == [MovedRun("aaaa1111", "w", 14)]
        assert [row.cursor for row in await pair.journals[HERE].deliveries(run)] == [7]
        [row] = await pair.summaries()
        assert (row.store, row.status) == (HERE, RunState.PAUSED)
        assert [(one.store, one.events, one.problems) for one in await sound(pair)] == [(HERE, 14, ())]
        assert await moved(pair) == [MovedRun("aaaa1111", "w", 14)]

    run_test(attempt())


def test_a_run_that_is_driven_stays_where_it_is() -> None:
    async def attempt() -> None:
        pair = await two("aaaa1111", "bbbb2222")
        lease = await pair.journals[HERE].acquire("aaaa1111", "elsewhere:1:1", pair.clock.now())
        async with renewed(pair.journals[HERE], lease, pair.clock):
            free, held = await moved(pair)
        assert (free.run, free.left) == ("bbbb2222", "")
        assert (held.run, held.left) == ("aaaa1111", "run aaaa1111 is driven by process 1 on elsewhere")
        assert {row.run: row.store for row in await pair.summaries()} == {"aaaa1111": HERE, "bbbb2222": THERE}

    run_test(attempt())


def test_only_the_runs_that_are_named_are_moved() -> None:
    async def attempt() -> None:
        pair = await two("aaaa1111", "aaab2222", "cccc3333")
        with pytest.raises(RunAmbiguous):
            await moved(pair, HERE, THERE, "aaa")
        with pytest.raises(RunNotFound):
            await moved(pair, HERE, THERE, "dd")
        assert [one.run for one in await moved(pair, HERE, THERE, "cc", "aaab", "CCCC")] == ["cccc3333", "aaab2222"]
        with pytest.raises(UsageError, match="are both"):
            await moved(pair, HERE, HERE)
        with pytest.raises(RunNotFound, match="nothing to move"):
            await moved(pair, "surrealdb-server", HERE)

    run_test(attempt())


def test_a_copy_that_is_something_else_is_told_and_the_run_stays() -> None:
    async def attempt() -> None:
        pair = await two("aaaa1111")
        other = history("aaaa1111")
        created = replace(other[0], by="somebody else")
        assert isinstance(created, ev.RunCreated)
        summary = replace(Run(created).summary(THERE), store=copy_of(HERE))
        await pair.journals[THERE].create(created, summary)
        [one] = await moved(pair)
        assert "has a different run" in one.left
        assert (await pair.find("aaaa"))[0].name == HERE
        lease = await pair.journals[HERE].acquire("aaaa1111", "me:1:1", pair.clock.now())
        assert lease.fence > 1

    run_test(attempt())


async def dies_at(point: CrashPoint) -> bool:
    """Whether the process got to the end; whatever it did, the next one completes it."""
    pair = await two("aaaa1111")
    await pair.journals[HERE].save_snapshot(
        await pair.journals[HERE].acquire("aaaa1111", "x:1:1", 1.0), Snapshot(5, b"")
    )
    pair.journals[HERE]._runs["aaaa1111"].holder = None  # type: ignore[attr-defined]
    with suppress(ProcessDied):
        await moved(pair.after(point))
    after = pair.after()
    rows = await after.summaries()
    assert len(rows) <= 1
    for row in rows:  # whole, wherever it is
        events = await pair.journals[row.store].read(row.run)
        assert [event for _, event in events] == history(row.run), point
        assert row.status is RunState.RUNNING
    if not rows:
        with pytest.raises(RunMoved) as told:
            await after.find("aaaa")
        assert told.value.hint.endswith("batchwright store migrate --from filesystem --to surrealdb aaaa1111")
    await after.clock.sleep(60)  # the dead process's lease ends
    done = await moved(after)
    assert [one.left for one in done] in ([], [""]), point
    [row] = await after.summaries()
    assert row.store == THERE
    assert [event for _, event in await pair.journals[THERE].read(row.run)] == history(row.run)
    assert [hook.cursor for hook in await pair.journals[THERE].deliveries(row.run)] == [HOOK.cursor]
    return not point.dead


def test_a_migration_that_dies_anywhere_is_completed_by_the_next(capsys: pytest.CaptureFixture[str]) -> None:
    point = CrashPoint()
    assert run_virtual(dies_at(point))
    for when in When:
        for number in range(1, point.count + 1):
            assert not run_virtual(dies_at(CrashPoint(number, when)))
    with capsys.disabled():
        print(f"\n{2 * point.count} crash points of a migration, never two runs, never half of one")


def test_check_tells_what_is_wrong() -> None:
    async def attempt() -> None:
        pair = await two("aaaa1111")
        here = pair.journals[HERE]
        await record(here, "bbbb2222", lag=3)
        await record(here, "cccc3333")
        await record(here, "dddd4444")
        lease = await here.acquire("cccc3333", "x:1:1", 9.0)
        await here.append(lease, 13, [], replace(await here.summary("cccc3333"), succeeded=99))
        lease = await here.acquire("dddd4444", "x:1:1", 9.0)
        await here.append(lease, 13, [ev.StepSucceeded(9.5, "up/nobody", "r")])
        found = {one.run: one.problems for one in await sound(pair)}
        assert found["aaaa1111"] == found["bbbb2222"] == ()
        assert found["cccc3333"] == ("the summary does not match the events at any point",)
        assert "up/nobody" in found["dddd4444"][0]

    run_test(attempt())


def test_check_compares_the_snapshot() -> None:
    async def attempt() -> None:
        pair = await two("aaaa1111")
        here = pair.journals[HERE]
        run = await load_run(here, "aaaa1111")
        lease = await here.acquire(run.id, "x:1:1", 9.0)
        await here.save_snapshot(lease, Snapshot(run.seq, encode_snapshot(run)))
        await here.release(lease)
        assert (await sound(pair))[0].problems == ()
        run.throttles += 7
        lease = await here.acquire(run.id, "x:1:1", 9.0)
        await here.save_snapshot(lease, Snapshot(run.seq, encode_snapshot(run)))
        await here.release(lease)
        assert (await sound(pair))[0].problems == ("the snapshot does not match the events",)

    run_test(attempt())
