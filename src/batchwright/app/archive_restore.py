"""Takes the events of archived runs back from an archive."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from msgspec.structs import replace

from batchwright.app.multi_store import Stores
from batchwright.app.settings import Settings
from batchwright.app.store_prune import alone_with_archives, verified_runs
from batchwright.errors import ArchiveRefused
from batchwright.journal.archive_file import read_archive
from batchwright.journal.base import ArchivedRun, Journal
from batchwright.journal.event_rows import EventRow
from batchwright.model.run_signal import Signal
from batchwright.model.run_summary import RunSummary
from batchwright.views.store_prune import ImportedRun
from batchwright.views.text_format import some

PIECE_SIZE = 4 * 1024 * 1024  # bytes of pages that are written at once
PIECE_PAGES = 2_000


class _Restoration:
    """One run on its way back."""

    def __init__(self, journal: Journal, row: RunSummary, line: ArchivedRun) -> None:
        self._journal, self._row, self._line = journal, row, line
        self._pages: list[EventRow] = []
        self._size = 0
        self._signals: list[Signal] = []

    async def add(self, piece: EventRow | Signal) -> None:
        if isinstance(piece, Signal):
            self._signals.append(piece)
            return
        self._pages.append(piece)
        self._size += len(piece.body)
        if self._size >= PIECE_SIZE or len(self._pages) >= PIECE_PAGES:
            await self._write()

    async def _write(self) -> None:
        if self._pages:
            await self._journal.put_back(self._row.run, self._pages)
        self._pages, self._size = [], 0

    async def finish(self) -> ImportedRun:
        await self._write()
        await self._journal.unarchive(replace(self._line.summary, store=self._journal.name), self._signals)
        return _imported(self._row, self._line, restored=True)


async def import_archive(settings: Settings, stores: Stores, file: Path) -> AsyncIterator[ImportedRun]:
    """Restore the runs of an archive; gives each. May be repeated, also after the process was killed.

    The whole archive is verified first, and compared with what the stores have of its runs. Raises ArchiveRefused, and
    has restored nothing then. A relative path may also be one in the state folder.
    """
    path = file if file.exists() else settings.state_dir / file
    with alone_with_archives(settings):
        lines = await verified_runs(path)
        rows = {row.run: row for row in await stores.summaries()}
        await _refuse_misfits(stores, path, lines, rows)
        current: _Restoration | None = None
        for piece in read_archive(path):
            if not isinstance(piece, ArchivedRun):
                if current is not None:
                    await current.add(piece)
                continue
            if current is not None:
                yield await current.finish()
            row = rows[piece.summary.run]
            journal = await stores.get(row.store)
            pending = row.archive and await journal.head(row.run) == piece.head
            current = _Restoration(journal, row, piece) if pending else None
            if current is None:
                yield _imported(row, piece, restored=False)
        if current is not None:
            yield await current.finish()


async def _refuse_misfits(
    stores: Stores, path: Path, lines: Sequence[ArchivedRun], rows: dict[str, RunSummary]
) -> None:
    """Raise ArchiveRefused unless the stores have a line for each run, and the same events of those that they have."""
    unknown = [line.summary.run for line in lines if line.summary.run not in rows]
    if unknown:
        raise ArchiveRefused(
            f"the stores here know nothing of {some(unknown)}, so {path} is the archive of other stores",
            hint="An archive holds events only. What stayed is in the stores that it was made from: use their state "
            "folder, or restore the backup of it.",
        )
    for line in lines:
        run = line.summary.run
        if not await _fits(await stores.get(rows[run].store), rows[run], line):
            raise ArchiveRefused(f"run {run} in the store {rows[run].store} is not the one in {path}")


async def _fits(journal: Journal, row: RunSummary, line: ArchivedRun) -> bool:
    """Whether the run in the store ends with the same event, or went on after it: it may do so after an import.

    One that then was archived again has its events in another archive.
    """
    head = await journal.head(row.run)
    if head == line.head or row.archive:
        return head == line.head or head.seq > line.head.seq
    at = 0
    while pages := await journal.pages(row.run, at, PIECE_PAGES):
        if any((page.last, (page.chain or b"").hex()) == (line.head.seq, line.head.digest) for page in pages):
            return True
        at = pages[-1].last
    return False


def _imported(row: RunSummary, line: ArchivedRun, *, restored: bool) -> ImportedRun:
    newer = "" if restored else row.archive
    return ImportedRun(row.run, row.environment_key.name, row.store, line.head.seq, restored, newer)
