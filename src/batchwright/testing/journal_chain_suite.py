"""The second part of `journal_suite`, about the hash chain of a journal. It is used in the same way."""

from __future__ import annotations

from batchwright.errors import RunNotFound, StoreCorrupt
from batchwright.journal import hash_chain
from batchwright.journal.memory import MemoryJournal
from batchwright.testing.journal_suite import NOW, Case, Factory, begun, created, opened, refused, steps, summary_of

CASES: list[Case] = []


def case(function: Case) -> Case:
    """Add a case to the suite."""
    CASES.append(function)
    return function


@case
async def test_the_chain_covers_every_event_and_is_what_it_was_after_reopening(factory: Factory) -> None:
    """D6: the chain covers every event and is unchanged after reopening."""
    async with opened(factory) as journal:
        lease = await begun(journal)
        heads = [await journal.head("aaaa")]
        for count in (3, 1_500, 1):
            await journal.append(lease, heads[-1].seq, steps(heads[-1].seq + 1, count))
            heads.append(await journal.head("aaaa"))
        await journal.append(lease, heads[-1].seq, [], summary_of("aaaa", steps=9))
        assert await journal.head("aaaa") == heads[-1]
        with refused(RunNotFound):
            await journal.head("none")
    assert [head.seq for head in heads] == [1, 4, 1_504, 1_505]
    assert len({head.digest for head in heads}) == len(heads)
    async with opened(factory) as journal:
        pages = await journal.pages("aaaa")
        assert {page.last: (page.chain or b"").hex() for page in pages if page.last in (1, 4, 1_504, 1_505)} == {
            head.seq: head.digest for head in heads
        }
        before = None
        for page in pages:
            hash_chain.verify("aaaa", before, page)
            before = page.chain
        assert [page.last for page in await journal.pages("aaaa", 4, 1)] == [1_004]
        assert await journal.pages("aaaa", 1_505) == []


@case
async def test_copied_pages_keep_their_place_in_the_chain(factory: Factory) -> None:
    """D6: `store migrate` relies on it."""
    origin = MemoryJournal()
    lease = await begun(origin)
    last = 1
    for count in (2, 7, 1):
        last = await origin.append(lease, last, steps(last + 1, count))
    first, *rest = await origin.pages("aaaa")
    async with opened(factory) as journal:
        await journal.create(created("aaaa"), summary_of("aaaa"), first)
        there = await journal.acquire("aaaa", "here", NOW)
        with refused(StoreCorrupt):
            await journal.copy(there, [rest[0]._replace(body=rest[1].body)])
        assert await journal.copy(there, rest[:1]) == 3
        assert await journal.copy(there, rest[1:]) == last
        assert await journal.head("aaaa") == await origin.head("aaaa")
        assert await journal.pages("aaaa") == await origin.pages("aaaa")
        assert await journal.read("aaaa") == await origin.read("aaaa")


@case
async def test_a_sound_store_has_lost_nothing(factory: Factory) -> None:
    """D6: a sound store reports no loss."""
    async with opened(factory) as journal:
        lease = await begun(journal, "bbbb")
        await begun(journal, "aaaa")
        await journal.append(lease, 1, steps(2, 3))
        assert sorted(await journal.runs()) == ["aaaa", "bbbb"]
        assert await journal.losses() == []
    async with opened(factory) as journal:
        assert await journal.losses() == []
        await journal.accept_loss()
        assert await journal.losses() == []
        assert len(await journal.read("bbbb")) == 4
