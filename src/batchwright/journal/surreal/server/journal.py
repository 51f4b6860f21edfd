"""The Journal port over a SurrealDB server, which any number of processes may use at the same time."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from batchwright.journal import refusals
from batchwright.journal.base import Lease
from batchwright.journal.high_water_mark import HighWaterMark
from batchwright.journal.store_folder import alone, make_private
from batchwright.journal.surreal.database import HolderGone
from batchwright.journal.surreal.embedded.peer import FolderPeer
from batchwright.journal.surreal.journal_base import SurrealJournalBase
from batchwright.journal.surreal.server.connection import ServerAddress, ServerDatabase
from batchwright.journal.surreal.writer import SurrealRepository

T = TypeVar("T")


class SurrealServerJournal(SurrealJournalBase):
    """Each run has one driver at a time, by its lease; the server serialises concurrent writers."""

    name = "surrealdb-server"

    def __init__(self, server: ServerAddress, marks: Path | None = None) -> None:
        """`marks` is a folder of this machine for the mark of what was acknowledged to it; None: no mark is kept."""
        self._server = server
        self._marks = marks
        self._store: SurrealRepository | None = None

    async def open(self, *, behind: bool = False) -> None:
        """Connect; begins the store if the database is empty."""
        if self._store is None:
            self._server.check()
            store = SurrealRepository(ServerDatabase(self._server), await asyncio.to_thread(self._mark))
            await store.open(behind=behind)
            self._store = store

    def _mark(self) -> HighWaterMark | None:
        """One mark for each database. It holds what this machine wrote; what others wrote is ahead of it."""
        if self._marks is None:
            return None
        make_private(self._marks)
        mark = HighWaterMark(
            self._marks / f"{self.name}-{hashlib.sha256(str(self._server).encode()).hexdigest()[:12]}.mark"
        )
        with alone(self._marks):
            if not mark.exists():
                mark.make()
        return mark

    async def aclose(self) -> None:
        """Finish the writes that have begun, then disconnect."""
        store, self._store = self._store, None
        if store is not None:
            await store.aclose()

    async def _read(self, work: Callable[[SurrealRepository | FolderPeer], Awaitable[T]]) -> T:
        return await self._write(work)

    async def _write(self, work: Callable[[SurrealRepository], Awaitable[T]]) -> T:
        if self._store is None:
            raise refusals.closed(self._server)
        try:
            return await work(self._store)
        except HolderGone:
            raise refusals.closed(self._server) from None

    def _taken(self, lease: Lease) -> None:
        pass  # this is no reason to refuse the server

    def _given_up(self, lease: Lease) -> None:
        pass
