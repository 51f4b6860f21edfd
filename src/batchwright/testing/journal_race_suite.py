"""What a store that several processes write to must do, beside `journal_suite`; the factory gives one journal each."""

from __future__ import annotations

import asyncio

from batchwright.errors import LeaseLost
from batchwright.journal.base import Journal, Lease
from batchwright.model.run_signal import Signal, SignalKind
from batchwright.testing.journal_suite import NOW, Case, Factory, begun, created, opened, steps, summary_of

CASES: list[Case] = []


def case(function: Case) -> Case:
    """Add a case to the suite."""
    CASES.append(function)
    return function


@case
async def test_of_those_who_take_a_run_at_once_one_gets_it(factory: Factory) -> None:
    """Fences never repeat."""
    clients = [factory() for _ in range(4)]
    await asyncio.gather(*(client.open() for client in clients))
    await clients[0].create(created("aaaa"), summary_of("aaaa"))
    fences: list[int] = []
    for round_ in range(15):
        now, seen = NOW + 100 * round_, await clients[0].held("aaaa")
        takes = (client.acquire("aaaa", f"host{n}:1:1", now, silent=seen) for n, client in enumerate(clients))
        got = await asyncio.gather(*takes, return_exceptions=True)
        [lease] = [lease for lease in got if isinstance(lease, Lease)]
        assert {type(lease).__name__ for lease in got} == {"Lease", "RunHeld"}
        fences.append(lease.fence)
    assert fences == sorted(set(fences))
    await asyncio.gather(*(client.aclose() for client in clients))


@case
async def test_a_driver_that_was_replaced_while_it_appends_is_refused(factory: Factory) -> None:
    """One client writes as fast as it can, the other takes the run over: what either was told is there, in order."""

    async def write(journal: Journal, lease: Lease, last: int) -> int:
        try:
            for _ in range(400):
                last = await journal.append(lease, last, steps(last + 1, 1))
        except LeaseLost:
            return last
        raise AssertionError("it was never replaced")

    async with opened(factory) as one, opened(factory) as two:
        lease, now, last = await begun(one, holder="one:1:1"), NOW, 1
        for _ in range(6):
            one, two, now = two, one, now + 100
            writing = asyncio.create_task(write(two, lease, last))
            await asyncio.sleep(0)
            while len(await one.read("aaaa", last, 5)) < 5:
                pass
            lease = await one.acquire("aaaa", f"at{now}:1:1", now, silent=await one.held("aaaa"))
            acknowledged = await writing
            last = (await one.read("aaaa", acknowledged - 1))[-1][0]
            assert last == acknowledged
        assert await one.read("aaaa", 1) == list(enumerate(steps(2, last - 1), 2))


@case
async def test_those_who_begin_a_run_at_once_and_signal_it_are_served_in_turn(factory: Factory) -> None:
    clients = [factory() for _ in range(4)]
    await asyncio.gather(*(client.open() for client in clients))
    begins = [client.create(created("aaaa"), summary_of("aaaa")) for client in clients]
    results = await asyncio.gather(*begins, return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["NoneType", *["SequenceConflict"] * 3]
    signals = [client.signal("aaaa", Signal(SignalKind.PAUSE, NOW)) for client in clients for _ in range(5)]
    await asyncio.gather(*signals)
    assert [number for number, _ in await clients[0].signals("aaaa")] == list(range(1, 21))
    await asyncio.gather(*(client.aclose() for client in clients))
