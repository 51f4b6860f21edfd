"""What every journal must do about environments, as `journal_suite`: one turn at a time, each within an event."""

from __future__ import annotations

import asyncio
from typing import Any

from msgspec.structs import replace

from batchwright.errors import (
    EnvironmentBusy,
    EnvironmentElsewhere,
    EnvironmentMoved,
    EnvironmentUnsettled,
    LeaseLost,
    RunSuperseded,
    SequenceConflict,
)
from batchwright.journal.base import ArchivedRun, Head, Journal, Lease, Turn
from batchwright.model.environment import Enter, Environment, EnvironmentKey, Leave, Resource, copy_of
from batchwright.model.events import AnyEvent, RunEnded, RunReopened
from batchwright.model.lifecycle import RunState
from batchwright.testing.journal_suite import NOW, Case, Factory, created, opened, refused, steps, summary_of

CASES: list[Case] = []
SHOP = EnvironmentKey("real", "shop")
WEB = Resource("server", "web-1", ref="ref-1", run="aaaa", request={"plan": 'small "\u2603"'}, made_turn=1)
NGINX = Resource("taskserv", "nginx", "web-1", ref="ref-1", request={"variables": {"port": 80}})


def case(function: Case) -> Case:
    """Add a case to the suite."""
    CASES.append(function)
    return function


async def entering(journal: Journal, run: str, expects: int = 0, after: str = "") -> Lease:
    """A new run that begins a turn, and the lease on it."""
    event = replace(created(run), turn=expects + 1, after=after)
    summary = summary_of(run, environment="shop", turn=expects + 1)
    await journal.create(event, summary, enter=Enter(SHOP, run, NOW, expects, after))
    return await journal.acquire(run, "here", NOW)


def leaving(run: str, newest: str = "", **changes: Any) -> Turn:
    """The end of a turn."""
    return Turn(leave=replace(Leave(SHOP, run, newest, unsettled=False, fold=1), **changes))


async def end(journal: Journal, lease: Lease, turn: Turn, after: int = 1, number: int = 1) -> int:
    """End a run together with its turn of this number."""
    return await journal.append(lease, after, [RunEnded(NOW, RunState.COMPLETED)], ended(lease.run, number), turn=turn)


def ended(run: str, turn: int = 1) -> Any:
    """The summary of a run that has ended."""
    return summary_of(run, environment="shop", turn=turn, status=RunState.COMPLETED)


@case
async def test_a_store_that_knows_no_environment_has_none(factory: Factory) -> None:
    async with opened(factory) as journal:
        assert (await journal.environment(SHOP), await journal.environments()) == (None, [])
        assert await journal.resources(SHOP) == []


@case
async def test_a_turn_begins_with_its_run_and_ends_with_an_event(factory: Factory) -> None:
    async with opened(factory) as journal:
        lease = await entering(journal, "aaaa")
        found = await journal.environment(SHOP)
        assert found is not None
        assert (found.turn, found.tenant, found.since, found.last, found.through) == (1, "aaaa", NOW, "aaaa", 0)
        await end(journal, lease, leaving("aaaa", "aaaa", changed=(WEB, NGINX)))
    async with opened(factory) as journal:
        found = await journal.environment(SHOP)
        assert found is not None
        assert (found.turn, found.tenant, found.since, found.newest, found.through) == (1, "", 0.0, "aaaa", 1)
        assert await journal.resources(SHOP) == [WEB, NGINX]
        assert await journal.environments() == [found]


@case
async def test_only_one_run_at_a_time_has_its_turn(factory: Factory) -> None:
    """D1: and who is refused has written nothing."""
    async with opened(factory) as journal:
        lease = await entering(journal, "aaaa")
        with refused(EnvironmentBusy):
            await entering(journal, "bbbb", 1)
        assert await journal.runs() == ["aaaa"]
        await end(journal, lease, leaving("aaaa"))
        with refused(EnvironmentMoved):
            await entering(journal, "bbbb", 0)
        await entering(journal, "bbbb", 1)
        assert {one.run for one in await journal.summaries()} == {"aaaa", "bbbb"}


@case
async def test_of_many_that_begin_at_once_one_does(factory: Factory) -> None:
    async with opened(factory) as journal:
        runs = [f"run{number}" for number in range(20)]
        outcomes = await asyncio.gather(*(entering(journal, run) for run in runs), return_exceptions=True)
        began = [run for run, one in zip(runs, outcomes, strict=True) if isinstance(one, Lease)]
        assert len(began) == 1
        assert {type(one) for one in outcomes if not isinstance(one, Lease)} == {EnvironmentBusy}
        found = await journal.environment(SHOP)
        assert found is not None
        assert (found.turn, [found.tenant]) == (1, began)
        assert await journal.runs() == began


@case
async def test_the_newest_runs_are_those_of_each_environment_and_those_without_a_turn(factory: Factory) -> None:
    async with opened(factory) as journal:
        assert await journal.newest_runs() == []
        await journal.create(created("olds"), summary_of("olds"))
        archived = summary_of("line", archive="archives/one")
        await journal.archive([ArchivedRun(archived, Head(9, "ab" * 32))])
        await end(journal, await entering(journal, "aaaa"), leaving("aaaa", "aaaa"))
        assert {one.run for one in await journal.newest_runs()} == {"olds", "line", "aaaa"}
        await end(journal, await entering(journal, "bbbb", 1, "aaaa"), leaving("bbbb", "bbbb"), number=2)
    async with opened(factory) as journal:
        rows = {one.run: one for one in await journal.newest_runs()}
        assert rows == {"olds": summary_of("olds"), "line": archived, "bbbb": ended("bbbb", 2)}


@case
async def test_environments_do_not_know_each_other(factory: Factory) -> None:
    keys = [EnvironmentKey("real", "shop"), EnvironmentKey("real", "shop/prod"), EnvironmentKey("simulated", "shop")]
    async with opened(factory) as journal:
        for number, key in enumerate(keys):
            run = f"run{number}"
            enter = Enter(key, run, NOW, 0)
            await journal.create(replace(created(run), turn=1), summary_of(run, turn=1), enter=enter)
            lease = await journal.acquire(run, "here", NOW)
            server = replace(WEB, ref=run)
            turn = Turn(leave=Leave(key, run, run, unsettled=False, fold=1, changed=(server,)))
            await journal.append(lease, 1, [RunEnded(NOW, RunState.COMPLETED)], ended(run), turn=turn)
        assert [one.key for one in await journal.environments()] == keys
        assert [[one.ref for one in await journal.resources(key)] for key in keys] == [["run0"], ["run1"], ["run2"]]
        every = [(key, one.ref) for key, one in await journal.all_resources()]
        assert every == list(zip(keys, ("run0", "run1", "run2"), strict=True))


@case
async def test_a_run_enters_again_unless_a_newer_one_changed_something(factory: Factory) -> None:
    """D2."""
    async with opened(factory) as journal:
        first = await entering(journal, "aaaa")
        await end(journal, first, leaving("aaaa", "aaaa"))
        again: list[AnyEvent] = [RunReopened(NOW, turn=2)]
        turn = Turn(Enter(SHOP, "aaaa", NOW, 1), leaving("aaaa", "aaaa").leave)
        last = await journal.append(first, 2, again, ended("aaaa", 2), turn=turn)
        second = await entering(journal, "bbbb", 2, "aaaa")
        await end(journal, second, leaving("bbbb", "bbbb"), number=3)
        with refused(RunSuperseded):
            await journal.append(first, last, again, turn=Turn(Enter(SHOP, "aaaa", NOW, 3)))
        assert (await journal.head("aaaa")).seq == last
        found = await journal.environment(SHOP)
        assert found is not None
        assert (found.turn, found.tenant) == (3, "")


@case
async def test_an_unsettled_environment_is_its_runs_to_settle(factory: Factory) -> None:
    async with opened(factory) as journal:
        lease = await entering(journal, "aaaa")
        await end(journal, lease, leaving("aaaa", "aaaa", unsettled=True))
        with refused(EnvironmentUnsettled):
            await entering(journal, "bbbb", 1, "aaaa")
        settled = Turn(Enter(SHOP, "aaaa", NOW, 1), leaving("aaaa", "aaaa").leave)
        await journal.append(lease, 2, [RunReopened(NOW, turn=2)], ended("aaaa", 2), turn=settled)
        await entering(journal, "bbbb", 2, "aaaa")


@case
async def test_what_a_turn_took_away_is_gone_and_the_rest_stays(factory: Factory) -> None:
    async with opened(factory) as journal:
        lease = await entering(journal, "aaaa")
        await end(journal, lease, leaving("aaaa", "aaaa", changed=(WEB, NGINX)))
        again = await entering(journal, "bbbb", 1, "aaaa")
        moved = replace(WEB, ref="ref-2")
        await end(journal, again, leaving("bbbb", "bbbb", changed=(moved,), gone=(NGINX.key,)), number=2)
        assert await journal.resources(SHOP) == [moved]


@case
async def test_an_append_that_is_refused_ends_no_turn(factory: Factory) -> None:
    async with opened(factory) as journal:
        lease = await entering(journal, "aaaa")
        stale = replace(lease, fence=lease.fence - 1)
        with refused(LeaseLost):
            await end(journal, stale, leaving("aaaa", "aaaa", changed=(WEB,)))
        with refused(SequenceConflict):
            await end(journal, lease, leaving("aaaa", "aaaa", changed=(WEB,)), after=5)
        found = await journal.environment(SHOP)
        assert found is not None
        assert (found.tenant, await journal.resources(SHOP)) == ("aaaa", [])


@case
async def test_a_turn_lasts_over_appends_and_restarts(factory: Factory) -> None:
    async with opened(factory) as journal:
        lease = await entering(journal, "aaaa")
        await journal.append(lease, 1, steps(0, 3))
    async with opened(factory) as journal:
        with refused(EnvironmentBusy):
            await entering(journal, "bbbb", 1)
        await end(journal, lease, leaving("aaaa", "aaaa", changed=(WEB,)), after=4)
        assert await journal.resources(SHOP) == [WEB]


@case
async def test_an_environment_is_written_without_an_event(factory: Factory) -> None:
    """As a move does it; what is not given stays."""
    row = Environment("real", "shop", turn=4, newest="cccc", through=4, fold=1)
    async with opened(factory) as journal:
        await journal.write_environment(None, row, [WEB, NGINX])
    async with opened(factory) as journal:
        assert (await journal.environments(), await journal.resources(SHOP)) == ([row], [WEB, NGINX])
        away = replace(row, store="elsewhere")
        await journal.write_environment(row, away)
        assert (await journal.environment(SHOP), await journal.resources(SHOP)) == (away, [WEB, NGINX])
        moved = replace(WEB, ref="ref-2")
        await journal.write_environment(away, row, [moved])
        assert (await journal.environment(SHOP), await journal.resources(SHOP)) == (row, [moved])
        await journal.write_environment(row, row, [])
        assert await journal.resources(SHOP) == []


@case
async def test_an_environment_is_written_only_over_what_was_seen(factory: Factory) -> None:
    async with opened(factory) as journal:
        lease = await entering(journal, "aaaa")
        during = await journal.environment(SHOP)
        assert during is not None
        await end(journal, lease, leaving("aaaa", "aaaa", changed=(WEB,)))
        after = await journal.environment(SHOP)
        assert after is not None
        away = replace(after, store="elsewhere")
        for seen in (None, during, away):
            with refused(EnvironmentMoved):
                await journal.write_environment(seen, away, [])
        assert (await journal.environment(SHOP), await journal.resources(SHOP)) == (after, [WEB])
        writes = (journal.write_environment(after, replace(away, newest=f"run{n}"), []) for n in range(8))
        outcomes = await asyncio.gather(*writes, return_exceptions=True)
        assert [type(one) for one in outcomes if one is not None] == [EnvironmentMoved] * 7, outcomes


@case
async def test_no_run_enters_an_environment_that_lives_elsewhere(factory: Factory) -> None:
    async with opened(factory) as journal:
        lease = await entering(journal, "aaaa")
        await end(journal, lease, leaving("aaaa", "aaaa", changed=(WEB,)))
        row = await journal.environment(SHOP)
        assert row is not None
        for store in ("elsewhere", copy_of("elsewhere")):
            away = replace(row, store=store)
            await journal.write_environment(row, away)
            with refused(EnvironmentElsewhere):
                await entering(journal, "bbbb", 1, "aaaa")
            with refused(EnvironmentElsewhere):
                await journal.append(lease, 2, [RunReopened(NOW, turn=2)], turn=Turn(Enter(SHOP, "aaaa", NOW, 1)))
            row = away
        assert await journal.runs() == ["aaaa"]


@case
async def test_of_a_turn_that_uses_a_server_and_one_that_may_end_it_only_one_begins(factory: Factory) -> None:
    """Each has looked before the other began."""
    apps = EnvironmentKey("real", "apps")

    async def using(journal: Journal, run: str, lender: Environment | None) -> None:
        assert lender is not None
        enter = Enter(apps, run, NOW, 0, lenders=(lender,))
        await journal.create(replace(created(run), turn=1), summary_of(run, environment="apps", turn=1), enter=enter)

    async with opened(factory) as journal:
        await end(journal, await entering(journal, "aaaa"), leaving("aaaa", "aaaa", changed=(WEB,)))
        seen = await journal.environment(SHOP)
        await end(journal, await entering(journal, "bbbb", 1, "aaaa"), leaving("bbbb", "bbbb"), number=2)
        with refused(EnvironmentMoved):
            await using(journal, "cccc", seen)
        assert await journal.environment(apps) is None
        seen = await journal.environment(SHOP)
        await using(journal, "cccc", seen)
        with refused(EnvironmentMoved):
            await entering(journal, "dddd", 2, "bbbb")
        assert sorted(await journal.runs()) == ["aaaa", "bbbb", "cccc"]
        lending = await journal.environment(SHOP)
        assert lending is not None
        assert (lending.turn, lending.tenant, lending.lent) == (2, "", 1)
        enter = Enter(SHOP, "dddd", NOW, 2, "bbbb", lent=1)
        summary = summary_of("dddd", environment="shop", turn=3)
        await journal.create(replace(created("dddd"), turn=3), summary, enter=enter)
        assert [(one.name, one.tenant) for one in await journal.environments()] == [("apps", "cccc"), ("shop", "dddd")]
