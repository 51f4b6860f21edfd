"""Checks the integrity of the stores: every entry, the chain of each run, and the mark of acknowledged events."""

from __future__ import annotations

from collections.abc import AsyncIterator

from msgspec import Struct

from batchwright.app.multi_store import Stores
from batchwright.errors import (
    BatchwrightError,
    EventUnreadable,
    IllegalTransition,
    RunNotFound,
    StepNotFound,
    StoreCorrupt,
    UsageError,
)
from batchwright.journal.base import Head, Journal
from batchwright.journal.environment_state import environment_problems
from batchwright.journal.event_rows import unpack
from batchwright.journal.lease_holder import driver_of
from batchwright.journal.replay import load_run
from batchwright.journal.shared_records import SharesRecords
from batchwright.model.clock import Clock
from batchwright.model.environment_selector import full_name
from batchwright.model.lifecycle import RUN_ENDED
from batchwright.model.run import Run
from batchwright.model.run_summary import RunSummary

PIECE = 2_000  # events that are held at a time
DIGEST_LENGTH = 64

_DAMAGE = (EventUnreadable, IllegalTransition, StepNotFound, StoreCorrupt)


class IntegrityReport(Struct, frozen=True):
    """The result for one run of a store. The events from `chained_from` on are chained; 0: none is."""

    store: str
    run: str
    workflow: str
    events: int
    problems: tuple[str, ...] = ()
    head: str = ""  # the digest of the last event
    chained_from: int = 0
    archive: str = ""  # the file that has its events: they are not checked here


class StoreSeen(Struct, frozen=True):
    """The result for a whole store; `accepted` are losses that are ignored from now on.

    `complete` says whether it has all acknowledged events. `bases` are the environments of which runs were archived,
    each with the turn after which it was folded again.
    """

    store: str
    complete: bool = True
    problems: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()
    bases: dict[str, int] = {}


class Chained(Struct, frozen=True):
    """A run's verified chain. `after` counts the events after an expected head that is on the chain."""

    store: str
    run: str
    head: Head
    chained_from: int
    expected: bool = False
    after: int = 0


async def check(
    stores: Stores, clock: Clock, *, accept_loss: bool = False
) -> AsyncIterator[IntegrityReport | StoreSeen]:
    """Check every run of every store, then each store. One that cannot be opened does not stop the others' check.

    All events exist and fold, the chain is intact, summary, snapshot and environments match the fold, and no
    acknowledged event is missing. With `accept_loss`, missing events count as never written from then on.
    """
    for name in stores.existing_names():
        try:
            journal = await stores.get(name, behind=True)
            runs = await journal.runs()
        except BatchwrightError as error:
            yield StoreSeen(name, False, (error.message,))
            continue
        lost = await _losses(journal)
        if lost and accept_loss:
            await journal.accept_loss()
        missing = {} if accept_loss else dict(lost)
        for run in runs:
            sound = await _look(journal, run, clock, missing.pop(run, ""))
            if sound is not None:
                yield sound
        whole = accept_loss or not lost  # where events are missing nothing fits
        problems = (*missing.values(), *(await environment_problems(journal) if whole else ()))
        if isinstance(journal, SharesRecords):
            problems += tuple(await journal.audit_problems())
        accepted = tuple(problem for _, problem in lost) if accept_loss else ()
        yield StoreSeen(name, whole, problems, accepted, await _bases(journal) if whole else {})


async def _bases(journal: Journal) -> dict[str, int]:
    try:
        here = [row for row in await journal.summaries() if row.archive and row.store == journal.name]
        archived = {row.environment_key for row in here}
        return {full_name(row.key): row.base for row in await journal.environments() if row.key in archived}
    except StoreCorrupt:
        return {}  # a problem that has been found already


async def _losses(journal: Journal) -> list[tuple[str, str]]:
    try:
        return [(loss.run, str(loss)) for loss in await journal.losses()]
    except StoreCorrupt as error:  # the mark itself
        return [("", error.message)]


async def _look(journal: Journal, run: str, clock: Clock, missing: str) -> IntegrityReport | None:
    """None for a run that lives elsewhere."""
    try:
        row = await journal.summary(run)
    except StoreCorrupt as error:
        return IntegrityReport(journal.name, run, "?", 0, (missing or error.message,))
    if row.store != journal.name:
        return None
    if row.archive:
        problems = (missing,) if missing else ()
        return IntegrityReport(journal.name, run, row.workflow, 0, problems, archive=row.archive)
    return await _fold(journal, row, clock)


async def _fold(journal: Journal, row: RunSummary, clock: Clock) -> IntegrityReport:
    driven = driver_of(await journal.held(row.run), clock.now()) is not None
    problems: list[str] = []
    run: Run | None = None
    fits = 0  # the last event after which the summary was true
    head, chained_from = "", 0
    try:
        while pages := await journal.pages(row.run, run.seq if run else 0, PIECE):
            for page in pages:
                chained_from = chained_from or (page.first if page.chain else 0)
                head = (page.chain or b"").hex()
            for seq, event in unpack(row.run, pages, pages[0].first - 1, pages[-1].last):
                if run is None:
                    run = Run.replay([event])
                else:
                    run.apply(event)
                if run.updated_at == row.updated_at and row.is_of(run.summary(journal.name)):
                    fits = seq
        if run is not None and not driven:
            loaded = await load_run(journal, row.run)
            if loaded.summary(journal.name) != run.summary(journal.name):
                problems.append("the snapshot does not match the events")
        await journal.signals(row.run)
    except _DAMAGE as error:
        problems.append(error.message)
    seq = run.seq if run else 0
    if not problems and not fits:
        problems.append("the summary does not match the events at any point")
    elif not problems and fits < seq and row.status in RUN_ENDED and not driven:
        problems.append(f"the summary describes event {fits} of {seq}")
    return IntegrityReport(journal.name, row.run, row.workflow, seq, tuple(problems), head, chained_from)


async def chain_of(stores: Stores, word: str, expected: str = "") -> Chained:
    """The head of a run's chain, and whether an earlier head is still on it.

    `expected` is DIGEST or DIGEST@SEQ. Raises RunNotFound, StoreCorrupt for a broken chain, UsageError.
    """
    digest, seq = _parsed(expected)
    journal, run = await stores.find(word)
    at = chained_from = after = 0
    found = False
    while pages := await journal.pages(run, at, PIECE):
        for page in pages:
            at = page.last
            chained_from = chained_from or (page.first if page.chain else 0)
            if digest and page.chain == bytes.fromhex(digest) and seq in (0, page.last):
                found, after = True, page.last
    head = await journal.head(run)
    if not at:
        raise RunNotFound(f"run {run} has no events")
    return Chained(journal.name, run, head, chained_from, found, head.seq - after if found else 0)


def _parsed(expected: str) -> tuple[str, int]:
    digest, at, seq = expected.strip().lower().partition("@")
    right = len(digest) == DIGEST_LENGTH and set(digest) <= set("0123456789abcdef")
    if expected and not (right and (not at or (seq.isascii() and seq.isdigit() and 0 < int(seq) < 2**63))):
        raise UsageError(
            f"--expect {expected[:80]!r} is not a chain digest",
            hint="Write it as store check --chain printed it: 64 hexadecimal digits, @ and the number of the event.",
        )
    return digest, int(seq) if at else 0
