"""The embedded SurrealDB engine behind one call: it takes a named query, gives its result, and raises our errors."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from batchwright import durable_files
from batchwright.errors import (
    StoreBehind,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StorePackageMissing,
    StoreReadOnly,
    StoreUnavailable,
)
from batchwright.journal import store_folder
from batchwright.journal.high_water_mark import HighWaterMark
from batchwright.journal.surreal.database import SURREALQL, Examine, HolderGone, QueryFailed, result_of
from batchwright.journal.surreal.embedded import log_truncation_guard
from batchwright.journal.surreal.embedded.log_capture import said_in

# Only "true" is understood, and only before the first database of the process is opened. Without it a commit that was
# acknowledged waits in the page cache for the next power cut.
SYNC_VARIABLE, SYNC_VALUE = "SURREAL_SYNC_DATA", "true"

_NOT_THE_ENGINE_S = (asyncio.CancelledError, KeyboardInterrupt, SystemExit)
RESERVE = 4 * 1024 * 1024  # bytes left free
_FULL = ("no storage space", "no space left", "os error 28", "os error 122")
_READ_ONLY = ("read-only", "permission denied", "os error 30", "os error 13")


class Engine:
    """One open database. After a disk error it is closed, and the next query opens and so repairs it."""

    def __init__(self, place: Path, mark: HighWaterMark | None = None) -> None:
        self.place = place
        self._mark = mark  # of the acknowledged events; it shows whether the store ever held a run
        self._database: Any = None
        self._opening = asyncio.Lock()
        self._closed = True
        self._broken = False
        self._look_only = False
        self._examine: Examine | None = None

    async def open(self, examine: Examine | None = None, *, look_only: bool = False) -> None:
        """Open or create the database. Raises StorePackageMissing, StoreCorrupt, StoreFull, StoreReadOnly."""
        self._closed, self._examine, self._look_only = False, examine, look_only
        await self._ready()

    def keep_repair(self) -> None:
        """Keep the engine's repair, which cut off the end of its log to make it readable."""
        self._look_only = False
        log_truncation_guard.forget(self.place)

    async def _ready(self) -> Any:
        async with self._opening:
            if self._closed:
                raise HolderGone
            if self._database is None:
                self._database = await self._connect()
            return self._database

    async def aclose(self) -> None:
        """Close the files; every commit is on disk already."""
        self._closed = True
        async with self._opening:
            await self._drop()

    async def _drop(self) -> None:
        database, self._database, self._broken = self._database, None, False
        if database is not None:
            await database.close()  # the files are closed when the last reference goes
            del database
            if self._look_only:
                log_truncation_guard.put_back(self.place)

    async def query(self, name: str, **values: Any) -> list[Any]:
        """The result of the query's last statement. Raises QueryRefused or a StoreError."""
        database = await self._ready()
        try:
            return await self._ask(database, name, **values)
        finally:
            if self._broken and self._database is database:
                await self._drop()

    async def _ask(self, database: Any, name: str, **values: Any) -> list[Any]:
        try:
            reply = await database.query_raw(SURREALQL[name], values)
        except _NOT_THE_ENGINE_S:
            raise
        except BaseException as error:  # a panic of the engine is no Exception
            self._broken = True
            raise self._explained(str(error)) from error
        try:
            return result_of(reply)
        except QueryFailed as failed:
            # after one failed write the engine answers nothing any more, not even reads, until it is opened again; then
            # it is seen whether it has what was acknowledged
            self._broken = self._broken or "datastore" in str(failed)
            raise self._explained(str(failed)) from None

    async def prove(self) -> None:
        """Does nothing. The engine can lose changes of concurrent writers, so there is only one writer."""

    def need_space(self, size: int) -> None:
        """Raise StoreFull if the disk may not have room, because the engine breaks on a full disk."""
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
        if not self.place.exists():
            await self._make(AsyncSurreal)
        log_truncation_guard.keep(self.place)
        database: Any = None
        try:
            database = await self._connected(AsyncSurreal, self.place)
            if not self._look_only:
                log_truncation_guard.judge(self.place)
            await self._seen(database)
            if not self._look_only:
                log_truncation_guard.forget(self.place)
        except StoreError as error:
            if database is None:
                log_truncation_guard.forget_untouched(self.place)
            else:
                await database.close()
                del database
                log_truncation_guard.put_back(self.place)
            if isinstance(error, StoreBehind) or not isinstance(error, StoreCorrupt) or not self._set_aside():
                raise
            return await self._connect()
        return database

    async def _make(self, make: Callable[[str], Any]) -> None:
        """Make the database under another name and give it its own when it is whole: a kill leaves no half of one."""
        fresh = self.place.with_name(f"{self.place.name}.new")
        try:
            shutil.rmtree(fresh, ignore_errors=True)  # what a killed process left
            database = await self._connected(make, fresh)
            try:
                await self._seen(database)
            finally:
                await database.close()
                del database
            durable_files.sync_tree(fresh)
            fresh.rename(self.place)
            durable_files.sync_folder(self.place.parent)
        except OSError as error:
            raise store_folder.explain(error, self.place) from error

    async def _seen(self, database: Any) -> None:
        if self._examine is not None:
            await self._examine(partial(self._ask, database))

    def _set_aside(self) -> bool:
        """Take away a database that cannot be opened and never held a run; a killed process of old left it."""
        unused = self.place.with_name(f"{self.place.name}.unused")
        try:
            if self._mark is not None and self._mark.exists() and self._mark.entries():
                return False
            if not log_truncation_guard.was_never_used(self.place):
                return False
            shutil.rmtree(unused, ignore_errors=True)
            self.place.rename(unused)
            log_truncation_guard.forget(self.place)
        except OSError as error:
            raise store_folder.explain(error, self.place) from error
        return True

    async def _connected(self, make: Callable[[str], Any], place: Path) -> Any:
        """Raises StoreError."""
        database: Any = None
        try:
            database = await asyncio.to_thread(self._construct, make, place)
            await database.connect()
            await database.use("batchwright", "journal")
        except _NOT_THE_ENGINE_S:
            raise
        except BaseException as error:  # a panic of the engine is no Exception
            if database is not None:
                await database.close()
            raise self._explained(str(error), opening=True) from error
        return database

    def _construct(self, make: Callable[[str], Any], place: Path) -> Any:
        """The constructor reads the whole log, mends it, and says so."""
        with said_in(self.place.parent / "engine.log"):
            return make(f"surrealkv://{place}")

    def _explained(self, text: str, *, opening: bool = False) -> StoreError:
        lower = text.lower()
        if any(word in lower for word in _FULL) or (
            "io error" in lower and store_folder.has_no_space(self.place.parent)
        ):
            return StoreFull(f"the disk that holds {self.place} is full")
        if any(word in lower for word in _READ_ONLY):
            return StoreReadOnly(f"{self.place} cannot be written: {text}")
        if opening and "os error" not in lower:
            return StoreCorrupt(f"{self.place} is damaged or is not a Batchwright store: {text}")
        return StoreUnavailable(f"{self.place} cannot be used: {text}")
