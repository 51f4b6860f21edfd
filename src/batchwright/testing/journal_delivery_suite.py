"""What every journal must do about deliveries of webhooks, as `journal_suite`: no row is overwritten unseen."""

from __future__ import annotations

import asyncio

from batchwright.errors import DeliveryMoved
from batchwright.model.delivery import Delivery
from batchwright.testing.journal_suite import Case, Factory, opened, refused

CASES: list[Case] = []
HOOK = Delivery("aaaa", "workflow/ci", cursor=3, answer='200 "\u2603"')


def case(function: Case) -> Case:
    """Add a case to the suite."""
    CASES.append(function)
    return function


@case
async def test_a_store_without_webhooks_has_no_deliveries(factory: Factory) -> None:
    async with opened(factory) as journal:
        assert (await journal.deliveries(), await journal.pending_deliveries()) == ([], [])


@case
async def test_a_delivery_is_kept(factory: Factory) -> None:
    async with opened(factory) as journal:
        await journal.write_delivery(None, HOOK)
        await journal.write_delivery(HOOK, HOOK.changed(cursor=4, again=(2, 3)))
    async with opened(factory) as journal:
        assert await journal.deliveries("aaaa") == [HOOK.changed(cursor=4, again=(2, 3))]


@case
async def test_deliveries_are_those_of_a_run_or_all_in_order(factory: Factory) -> None:
    rows = [Delivery(run, name) for run in ("aaaa", "bbbb") for name in ("config/ops", "workflow/ci")]
    async with opened(factory) as journal:
        for row in reversed(rows):
            await journal.write_delivery(None, row)
        assert await journal.deliveries() == rows
        assert await journal.deliveries("bbbb") == rows[2:]
        assert await journal.deliveries("bbb") == []


@case
async def test_pending_are_those_that_are_open_and_the_first_due_come_first(factory: Factory) -> None:
    late, soon, done = (Delivery(run, "workflow/ci", due=due) for run, due in (("a", 9.0), ("b", 1.5), ("c", 0.0)))
    async with opened(factory) as journal:
        for row in (late, soon, done):
            await journal.write_delivery(None, row)
        await journal.write_delivery(done, done.changed(open=False))
        assert await journal.pending_deliveries() == [soon, late]


@case
async def test_a_row_that_changed_since_it_was_seen_is_not_overwritten(factory: Factory) -> None:
    async with opened(factory) as journal:
        await journal.write_delivery(None, HOOK)
        with refused(DeliveryMoved):
            await journal.write_delivery(None, HOOK.changed(cursor=9))
        await journal.write_delivery(HOOK, HOOK.changed(cursor=5))
        with refused(DeliveryMoved):
            await journal.write_delivery(HOOK, HOOK.changed(cursor=6))
        assert [row.cursor for row in await journal.deliveries("aaaa")] == [5]


@case
async def test_of_two_that_write_at_once_one_is_refused(factory: Factory) -> None:
    async with opened(factory) as journal:
        await journal.write_delivery(None, HOOK)
        rows = [HOOK.changed(cursor=cursor) for cursor in (5, 6)]
        done = await asyncio.gather(*(journal.write_delivery(HOOK, row) for row in rows), return_exceptions=True)
        assert [type(one) for one in done if one is not None] == [DeliveryMoved]
        assert (await journal.deliveries("aaaa")) == [rows[done.index(None)]]
