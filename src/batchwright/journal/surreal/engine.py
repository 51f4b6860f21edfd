"""The embedded SurrealDB engine behind one call: a named query in, its result out, errors as ours."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from batchwright.errors import (
    StoreCorrupt,
    StoreError,
    StoreFull,
    StorePackageMissing,
    StoreReadOnly,
    StoreUnavailable,
)
from batchwright.journal import folder
from batchwright.journal.surreal import segments
from batchwright.journal.surreal.answers import SURREALQL, Failed, result_of
from batchwright.journal.surreal.quiet import said_in
from batchwright.journal.surreal.wire import HolderGone

# Only "true" is understood, and only before the first database of the process is opened. Without it a commit that was
# acknowledged waits in the page cache for the next power cut.
SYNC_VARIABLE, SYNC_VALUE = "SURREAL_SYNC_DATA", "true"

_NOT_THE_ENGINE_S = (asyncio.CancelledError, KeyboardInterrupt, SystemExit)
RESERVE = 4 * 1024 * 1024  # bytes left free
_FULL = ("no storage space", "no space left", "os error 28", "os error 122")
_READ_ONLY = ("read-only", "permission denied", "os error 30", "os error 13")


class Engine:
    """One open database. After an error of the disk it is closed, and the next query opens and so repairs it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._database: Any = None
        self._opening = asyncio.Lock()
        self._closed = True

    async def open(self) -> None:
        """Open or create the database. Raises StorePackageMissing, StoreCorrupt, StoreFull, StoreReadOnly."""
        self._closed = False
        await self._ready()

    async def _ready(self) -> Any:
        async with self._opening:
            if self._closed:
                raise HolderGone
            if self._database is None:
                self._database = await self._connect()
            return self._database

    async def aclose(self) -> None:
        """Let go of the files; every commit is on disk already."""
        self._closed = True
        async with self._opening:
            await self._drop()

    async def _drop(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            await database.close()  # the files are closed when the last reference goes

    async def query(self, name: str, **values: Any) -> list[Any]:
        """The result of the query's last statement. Raises Refused or a StoreError."""
        database = await self._ready()
        try:
            reply = await database.query_raw(SURREALQL[name], values)
        except _NOT_THE_ENGINE_S:
            raise
        except BaseException as error:  # a panic of the engine is no Exception
            raise self._explained(str(error)) from error
        try:
            return result_of(reply)
        except Failed as failed:
            await self._give_up_if_broken(str(failed))
            raise self._explained(str(failed)) from None

    async def prove(self) -> None:
        """The engine does lose changes of writers that meet, so there is only one writer."""

    def need_space(self, size: int) -> None:
        """Raise StoreFull if the disk could not take this, because the engine breaks on a disk that is really full."""
        disk = os.statvfs(self.place.parent)
        if disk.f_bavail * disk.f_frsize < RESERVE + 2 * size:
            raise StoreFull(f"the disk that holds {self.place} is nearly full")

    async def _connect(self) -> Any:
        try:
            from surrealdb import AsyncSurreal
        except ImportError as error:
            raise StorePackageMissing(
                'storage_backend "surrealdb" needs a package that is not installed',
                hint="pip install 'batchwright[surrealdb]'",
            ) from error
        os.environ[SYNC_VARIABLE] = SYNC_VALUE
        segments.keep(self.place)
        database: Any = None
        try:
            database = await asyncio.to_thread(self._construct, AsyncSurreal)
            await database.connect()
            await database.use("batchwright", "journal")
            segments.judge(self.place)
        except StoreCorrupt:
            await database.close()
            del database
            segments.put_back(self.place)
            raise
        except _NOT_THE_ENGINE_S:
            raise
        except BaseException as error:
            segments.forget_untouched(self.place)
            raise self._explained(str(error), opening=True) from error
        return database

    def _construct(self, make: Callable[[str], Any]) -> Any:
        """The constructor reads the whole log, mends it, and says so."""
        with said_in(self.place.parent / "engine.log"):
            return make(f"surrealkv://{self.place}")

    async def _give_up_if_broken(self, text: str) -> None:
        # after one failed write the engine answers nothing any more, not even reads, until it is opened again
        if "datastore" in text:
            await self._drop()

    def _explained(self, text: str, *, opening: bool = False) -> StoreError:
        lower = text.lower()
        if any(word in lower for word in _FULL) or ("io error" in lower and folder.has_no_space(self.place.parent)):
            return StoreFull(f"the disk that holds {self.place} is full")
        if any(word in lower for word in _READ_ONLY):
            return StoreReadOnly(f"{self.place} cannot be written: {text}")
        if opening and "os error" not in lower:
            return StoreCorrupt(f"{self.place} is damaged or is not a Batchwright store: {text}")
        return StoreUnavailable(f"{self.place} cannot be used: {text}")
