"""`store prune` or `store import` in a process that kills itself before the n-th thing that would outlive it.

    python prune_process.py FOLDER N prune KEEP
    python prune_process.py FOLDER N import FILE

Counted are the calls that make something durable: of the journals, and of the file system.
"""

import asyncio
import functools
import itertools
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from batchwright.app import store_prune
from batchwright.app.archive_restore import import_archive
from batchwright.app.multi_store import Stores
from batchwright.app.settings import Settings
from batchwright.app.system_clock import SystemClock
from batchwright.journal.sqlite import SqliteJournal
from batchwright.journal.surreal import SurrealJournal
from batchwright.model.retention import Retention


def counted(function: Callable[..., Any], numbers: "itertools.count[int]", last: int) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if next(numbers) == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)

    return call


async def main() -> None:
    folder, last, verb, what = sys.argv[1:]
    settings, numbers = Settings(Path(folder)), itertools.count(1)
    for journal in (SqliteJournal, SurrealJournal):
        for name in ("write_environment", "archive", "put_back", "unarchive"):
            setattr(journal, name, counted(getattr(journal, name), numbers, int(last)))
    for owner, name in ((os, "fsync"), (Path, "rename"), (store_prune.shutil, "rmtree")):
        setattr(owner, name, counted(getattr(owner, name), numbers, int(last)))
    store_prune.BATCH_RUNS = 2
    async with Stores(settings) as stores:
        if verb == "prune":
            await store_prune.prune(settings, stores, SystemClock(), Retention(int(what)))
        else:
            async for _ in import_archive(settings, stores, Path(what)):
                pass


asyncio.run(main())
