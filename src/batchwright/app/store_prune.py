"""Puts the events of old runs into an archive and deletes them from the stores."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from batchwright.app.multi_store import Stores, first_creation, refuse_elsewhere
from batchwright.app.settings import Settings
from batchwright.durable_files import FolderHeld, alone
from batchwright.errors import (
    ArchiveRefused,
    EnvironmentMoved,
    EnvironmentRefused,
    RunHeld,
    SequenceConflict,
    StoreUnavailable,
)
from batchwright.journal.archive_file import ArchiveWriter, read_archive
from batchwright.journal.base import ArchivedRun, Journal
from batchwright.journal.environment_rows import base_digest
from batchwright.journal.environment_state import EnvironmentState, environment_state
from batchwright.journal.event_rows import EventRow
from batchwright.journal.store_folder import make_private
from batchwright.model.clock import Clock
from batchwright.model.environment import Environment, EnvironmentKey
from batchwright.model.environment_fold import FOLD
from batchwright.model.environment_selector import environment_named, newest_turn
from batchwright.model.retention import KeptBecause, NeededRun, Retention, kept_runs, needed_by_resources
from batchwright.model.run_summary import RunSummary
from batchwright.views.store_prune import KeptRun, PrunableRun, PrunedEnvironment, PruneResult

PIECE = 2_000  # events that are held at a time
BATCH_RUNS = 50  # runs that one transaction deletes, so that a service does not wait for long
BATCH_SIZE = 8 * 1024 * 1024  # and bytes of their events
LOCK_SECONDS = 1.0


class _Candidates(Struct):
    """An environment and its runs that may go."""

    journal: Journal
    view: PrunedEnvironment
    state: EnvironmentState | None = None
    last: str = ""
    rows: Sequence[RunSummary] = ()


class _ArchivedSize(Struct, frozen=True):
    """A run that is in the archive, and how many bytes its events have in the store."""

    journal: Journal
    line: ArchivedRun
    size: int


def archives_of(settings: Settings) -> Path:
    """The folder of the archives that are given no other place."""
    return settings.state_dir / "archives"


@contextmanager
def alone_with_archives(settings: Settings) -> Iterator[Path]:
    """The folder of archives; only one process at a time makes or imports one. Raises StoreUnavailable."""
    folder = archives_of(settings)
    make_private(folder)
    with ExitStack() as held:
        try:
            held.enter_context(alone(folder, LOCK_SECONDS))
        except FolderHeld:
            raise StoreUnavailable(f"another process is making or importing an archive in {folder}") from None
        yield folder


async def verified_runs(path: Path) -> list[ArchivedRun]:
    """The runs of an archive that is whole; other processes that wait for this one are answered meanwhile.

    Raises ArchiveRefused.
    """
    runs: list[ArchivedRun] = []
    for one in read_archive(path):
        if isinstance(one, ArchivedRun):
            runs.append(one)
            await asyncio.sleep(0)
    return runs


async def plan_prune(
    stores: Stores, clock: Clock, wanted: Retention, environment: str = ""
) -> tuple[PrunedEnvironment, ...]:
    """What `prune` would do now; nothing is changed. `environment` limits it to one of this name.

    Raises EnvironmentNotFound, EnvironmentAmbiguous, StoreError.
    """
    return tuple(one.view for one in await _candidates(stores, clock, wanted, environment))


async def prune(
    settings: Settings, stores: Stores, clock: Clock, wanted: Retention, environment: str = "", to: Path | None = None
) -> PruneResult:
    """Archive what may go, then delete it. `to` is the archive's file, or the folder that gets it.

    The archive is durable and was read back before anything is deleted. If the process is killed, every run is whole in
    the store or in the archive, and the same command goes on. Raises as `plan_prune`, and ArchiveRefused.
    """
    with alone_with_archives(settings) as folder:
        for journal in await stores.existing():
            await _finish_last(settings, journal)
        found = await _candidates(stores, clock, wanted, environment)
        going = [one for one in found if one.rows]
        for one in going:
            try:
                await _set_base(settings, stores, clock, one)
            except EnvironmentRefused as error:
                one.view, one.rows = replace(one.view, runs=(), left=error.message), ()
        views = tuple(one.view for one in found)
        if not any(one.rows for one in going):
            return PruneResult(views)
        path = _file_for(folder, to, clock.now())
        sizes = await _written(path, clock.now(), going)
        return await _deleted(settings, clock, views, path, sizes)


def needed_runs(state: EnvironmentState, last: str, webhooks: dict[str, NeededRun]) -> dict[str, NeededRun]:
    """The runs of an environment that something still needs, whatever their age: the one list of all such needs.

    `last` had its newest turn; the plan of that run says how the environment is reached when it is destroyed. That no
    process drives a run is checked by the store, in the transaction that deletes its events.
    """
    needed = webhooks | needed_by_resources(state.resources)
    needed[last] = NeededRun(KeptBecause.NEWEST_TURN)
    needed[state.newest] = NeededRun(KeptBecause.NEWEST_CHANGE)
    if state.row is not None:
        needed[state.row.unsettled] = NeededRun(KeptBecause.UNSETTLED)
    return needed


async def _needed_by_webhooks(journal: Journal) -> dict[str, NeededRun]:
    needed: dict[str, NeededRun] = {}
    for row in await journal.deliveries():
        if row.open:
            before = needed.get(row.run, NeededRun(KeptBecause.WEBHOOK))
            needed[row.run] = replace(before, names=(*before.names, row.webhook))
    return needed


async def _candidates(stores: Stores, clock: Clock, wanted: Retention, word: str) -> list[_Candidates]:
    groups: dict[tuple[EnvironmentKey, str], list[RunSummary]] = {}
    for row in reversed(await stores.summaries()):
        groups.setdefault((row.environment_key, row.store), []).append(row)
    if word:
        chosen = environment_named(word, {key for key, _ in groups})
        groups = {place: rows for place, rows in groups.items() if place[0] == chosen}
    journals = {store: await stores.get(store) for _, store in groups}
    webhooks = {store: await _needed_by_webhooks(journal) for store, journal in journals.items()}
    return [
        await _candidates_of(journals[store], key, groups[key, store], webhooks[store], wanted, clock.now())
        for key, store in sorted(groups)
    ]


async def _candidates_of(
    journal: Journal,
    key: EnvironmentKey,
    lines: Sequence[RunSummary],
    webhooks: dict[str, NeededRun],
    wanted: Retention,
    now: float,
) -> _Candidates:
    rows = [one for one in lines if not one.archive]
    view = PrunedEnvironment(key.space, key.name, journal.name, archived=len(lines) - len(rows))
    try:
        state = await environment_state(journal, key)
        if state.row is not None and state.row.through and state.row.fold != FOLD:
            raise EnvironmentMoved(f"another process changed the environment {key.name} at this moment")
    except EnvironmentRefused as error:
        return _Candidates(journal, replace(view, left=error.message))
    through = state.row.through if state.row is not None else 0
    last = state.row.last if state.row is not None else newest_turn(lines).run
    kept = kept_runs(rows, through, needed_runs(state, last, webhooks), wanted, now)
    going = [row for row in rows if row.run not in kept]
    view = replace(
        view,
        runs=tuple(PrunableRun(row.run, row.version, row.status, row.ended_at) for row in going),
        kept=tuple(KeptRun(row.run, kept[row.run].why, kept[row.run].names) for row in rows if row.run in kept),
    )
    return _Candidates(journal, view, state, last, going)


async def _set_base(settings: Settings, stores: Stores, clock: Clock, one: _Candidates) -> None:
    """Make what the environment has now the base from which it is folded. It is true whether or not runs go then.

    Raises EnvironmentRefused if another process changes the environment at this moment.
    """
    state = one.state
    assert state is not None
    row, base = state.row, state.resources
    if row is not None:
        if not row.base_digest or row.base < max(run.turn for run in one.rows):
            now = replace(row, base=row.through, base_digest=base_digest(base))
            await one.journal.write_environment(row, now, base=base)
        return
    async with first_creation(settings.state_dir, clock):
        await refuse_elsewhere(stores, one.journal, state.key)
        key, newest = state.key, state.newest
        row = Environment(key.space, key.name, last=one.last, newest=newest, fold=FOLD, base_digest=base_digest(base))
        await one.journal.write_environment(None, row, base, base=base)


def _file_for(folder: Path, to: Path | None, now: float) -> Path:
    """Raises ArchiveRefused."""
    if to is not None and not to.is_dir():
        if not to.absolute().parent.is_dir():
            raise ArchiveRefused(f"there is no folder {to.absolute().parent}", hint="Create it first.")
        return to.absolute()
    name = time.strftime("runs-%Y%m%dT%H%M%SZ", time.gmtime(now))
    place = (to or folder).absolute()
    if to is None:
        for left in place.glob(".runs-*.part"):
            left.unlink(missing_ok=True)  # of a process that was killed; nobody else is here
    names = (f"{name}{(number and f'-{number}') or ''}.jsonl.gz" for number in range(1_000))
    return next(place / one for one in names if not (place / one).exists())


async def _written(path: Path, now: float, going: Sequence[_Candidates]) -> list[_ArchivedSize]:
    """The archive with all these runs, read back."""
    sizes: list[_ArchivedSize] = []
    with ArchiveWriter(path, now) as archive:
        for one in going:
            for row in one.rows:
                line = ArchivedRun(row, await one.journal.head(row.run))
                archive.run(row, line.head)
                size, at = 0, 0
                async for pages in _pages(one.journal, line):
                    size, at = size + archive.pages(pages), pages[-1].last
                if at != line.head.seq:
                    raise SequenceConflict(f"run {row.run} was changed while it was being archived")
                archive.signals([signal for _, signal in await one.journal.signals(row.run)])
                sizes.append(_ArchivedSize(one.journal, line, size))
        archive.finish()
    if await verified_runs(path) != [one.line for one in sizes]:
        raise ArchiveRefused(f"{path} does not hold what was written to it; nothing was deleted")
    return sizes


async def _pages(journal: Journal, line: ArchivedRun) -> AsyncIterator[list[EventRow]]:
    at = 0
    while pages := await journal.pages(line.summary.run, at, PIECE):
        yield pages
        at = pages[-1].last


async def _deleted(
    settings: Settings, clock: Clock, views: tuple[PrunedEnvironment, ...], path: Path, sizes: Sequence[_ArchivedSize]
) -> PruneResult:
    place = _stored_place(settings, path)
    refused: dict[str, str] = {}
    for batch in _batches(sizes):
        now, began = clock.now(), clock.monotonic()
        lines = [replace(one.line, summary=replace(one.line.summary, archive=place, archived_at=now)) for one in batch]
        refused |= await _archive(settings, batch[0].journal, lines)
        await clock.sleep(clock.monotonic() - began)  # others that wait to write get as long
    gone = [one for one in sizes if one.line.summary.run not in refused]
    journals = {one.journal.name: one.journal for one in sizes}
    spaces = [await journal.compact() for journal in journals.values()]
    return PruneResult(
        views,
        str(path),
        runs=len(gone),
        events=sum(one.line.head.seq for one in gone),
        events_size=sum(one.size for one in gone),
        archive_size=path.stat().st_size,
        freed=sum(space.freed for space in spaces),
        unused=sum(space.kept for space in spaces),
        refused=refused,
    )


def _batches(sizes: Sequence[_ArchivedSize]) -> Iterator[list[_ArchivedSize]]:
    """Runs of one store that one transaction takes."""
    batch: list[_ArchivedSize] = []
    for one in sizes:
        full = len(batch) == BATCH_RUNS or sum(other.size for other in batch) + one.size > BATCH_SIZE
        if batch and (full or batch[0].journal is not one.journal):
            yield batch
            batch = []
        batch.append(one)
    if batch:
        yield batch


async def _archive(settings: Settings, journal: Journal, lines: Sequence[ArchivedRun]) -> dict[str, str]:
    """Delete the events and keys of these runs; gives those that are being driven or were changed, with the reason."""
    try:
        await journal.archive(lines)
    except (RunHeld, SequenceConflict) as error:
        if len(lines) == 1:
            return {lines[0].summary.run: error.message}
        return {run: why for line in lines for run, why in (await _archive(settings, journal, [line])).items()}
    for line in lines:
        shutil.rmtree(settings.state_dir / "keys" / line.summary.run, ignore_errors=True)
    return {}


async def _finish_last(settings: Settings, journal: Journal) -> None:
    """Repeat the last batch: a process that was killed may have left keys of it, or pages that no reader sees."""
    rows = [row for row in await journal.summaries() if row.archive and row.store == journal.name]
    last = max((row.archived_at for row in rows), default=0.0)
    own = [row for row in rows if row.archived_at == last and (settings.state_dir / row.archive).exists()]
    if own:
        await _archive(settings, journal, [ArchivedRun(row, await journal.head(row.run)) for row in own])


def _stored_place(settings: Settings, path: Path) -> str:
    """As a run's line names it: within the state folder a relative path, since the folder may be moved."""
    folder = settings.state_dir.absolute()
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)
