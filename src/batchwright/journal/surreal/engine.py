"""The embedded SurrealDB engine behind one call: a named query in, its result out, errors as ours."""

from __future__ import annotations

import asyncio
import os
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
from batchwright.journal.statements import load
from batchwright.journal.surreal import segments
from batchwright.journal.surreal.wire import HolderGone

SURREALQL = load(__package__, ".surql")

# Only "true" is understood, and only before the first database of the process is opened. Without it a commit that was
# acknowledged waits in the page cache for the next power cut.
SYNC_VARIABLE, SYNC_VALUE = "SURREAL_SYNC_DATA", "true"

_NOT_THE_ENGINE_S = (asyncio.CancelledError, KeyboardInterrupt, SystemExit)
_NOT_RUN = "The query was not executed due to a failed transaction"
_FULL = ("no storage space", "no space left", "os error 28", "os error 122")
_READ_ONLY = ("read-only", "permission denied", "os error 30", "os error 13")


class Refused(Exception):
    """A query's own THROW: 'refused NUMBER WORD DETAIL'; nothing of the query happened."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        number, self.word, self.detail = f"{text} ".split(" ", 2)
        self.number = int(number)


class Engine:
    """One open database. After an error of the disk it is closed, and the next query opens and so repairs it."""

    def __init__(self, place: Path) -> None:
        self._place = place
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
        if "error" in reply:
            raise self._explained(str(reply["error"]))
        failures = [str(part["result"]) for part in reply["result"] if part["status"] != "OK"]
        if failures:
            telling = [text for text in failures if text != _NOT_RUN] or failures
            _, thrown, text = telling[0].partition("An error occurred: refused ")
            if thrown:
                raise Refused(text)
            await self._give_up_if_broken(telling[0])
            raise self._explained(telling[0])
        result: list[Any] = reply["result"][-1]["result"]
        return result

    async def _connect(self) -> Any:
        try:
            from surrealdb import AsyncSurreal
        except ImportError as error:
            raise StorePackageMissing(
                'storage_backend "surrealdb" needs a package that is not installed',
                hint="pip install 'batchwright[surrealdb]'",
            ) from error
        os.environ[SYNC_VARIABLE] = SYNC_VALUE
        segments.keep(self._place)
        database: Any = None
        try:
            # the constructor reads the whole log
            database = await asyncio.to_thread(AsyncSurreal, f"surrealkv://{self._place}")
            await database.connect()
            await database.use("batchwright", "journal")
            segments.judge(self._place)
        except StoreCorrupt:
            await database.close()
            del database
            segments.put_back(self._place)
            raise
        except _NOT_THE_ENGINE_S:
            raise
        except BaseException as error:
            segments.forget_untouched(self._place)
            raise self._explained(str(error), opening=True) from error
        return database

    async def _give_up_if_broken(self, text: str) -> None:
        # after one failed write the engine answers nothing any more, not even reads, until it is opened again
        if "datastore" in text:
            await self._drop()

    def _explained(self, text: str, *, opening: bool = False) -> StoreError:
        lower = text.lower()
        if any(word in lower for word in _FULL) or ("io error" in lower and folder.has_no_space(self._place.parent)):
            return StoreFull(f"the disk that holds {self._place} is full")
        if any(word in lower for word in _READ_ONLY):
            return StoreReadOnly(f"{self._place} cannot be written: {text}")
        if opening and "os error" not in lower:
            return StoreCorrupt(f"{self._place} is damaged or is not a Batchwright store: {text}")
        return StoreUnavailable(f"{self._place} cannot be used: {text}")
