"""A process of its own with a journal, for tests that kill it, race it, or are kept out by it.

    python journal_process.py MODE BACKEND PATH COUNT [MARKS]

For postgres PATH is the URL of the database, and MARKS a folder.

append: appends to run "aaaa" (COUNT times, 0: for ever) and prints each sequence number that was acknowledged
signal: leaves COUNT signals for run "aaaa" and prints how many it left
open:   opens the store COUNT times, begins a run each time, and prints how often it did
drive:  begins run "bbbb", prints "driving", and ends when its standard input does
"""

import asyncio
import os
import sys
from pathlib import Path

from batchwright.errors import RunNotFound
from batchwright.journal.base import Journal
from batchwright.journal.lease_holder import own_holder
from batchwright.journal.postgres import PostgresAddress
from batchwright.journal.postgres.journal import PostgresJournal
from batchwright.journal.sqlite import SqliteJournal
from batchwright.journal.surreal import SurrealJournal
from batchwright.model.delivery import Delivery
from batchwright.model.run_signal import Signal, SignalKind
from batchwright.testing.journal_suite import NOW, begun, created, steps, summary_of


def say(word: object) -> None:
    sys.stdout.write(f"{word}\n")  # in one piece, which print does not promise
    sys.stdout.flush()


async def append(journal: Journal, count: int) -> None:
    try:
        await journal.summary("aaaa")
    except RunNotFound:
        await journal.create(created("aaaa"), summary_of("aaaa"))
    lease = await journal.acquire("aaaa", own_holder(), NOW)
    last = 0
    while piece := await journal.read("aaaa", last):
        last = piece[-1][0]
    say(last)
    rounds = 0
    while not count or rounds < count:
        rounds += 1
        size = 1 + last * 7 % 40 if rounds % 9 else 2_300
        last = await journal.append(lease, last, steps(last + 1, size), summary_of("aaaa", steps=last))
        say(last)


async def signal(journal: Journal, count: int) -> None:
    for number in range(count):
        await journal.signal("aaaa", Signal(SignalKind.PAUSE, NOW + number, "process"))
    say(count)


async def drive(journal: Journal, count: int) -> None:
    lease = await begun(journal, "bbbb", own_holder())
    await journal.append(lease, 1, steps(2, count))
    await journal.write_delivery(None, Delivery("bbbb", "workflow/ci"))
    say("driving")
    await asyncio.to_thread(sys.stdin.read)


async def open_and_close(journal: Journal, count: int) -> None:
    for number in range(count):
        await journal.open()
        assert len(await journal.summaries()) >= number
        run = f"{os.getpid()}-{number}"
        await journal.create(created(run), summary_of(run))
        await journal.aclose()
    say(count)


async def main() -> None:
    mode, backend, path, count, *marks = sys.argv[1:]
    journal: Journal
    if backend == "postgres":
        journal = PostgresJournal(PostgresAddress(path), Path(*marks))
    else:
        journal = SqliteJournal(Path(path)) if backend == "sqlite" else SurrealJournal(Path(path))
    if mode == "open":
        await open_and_close(journal, int(count))
        return
    await journal.open()
    await {"append": append, "signal": signal, "drive": drive}[mode](journal, int(count))
    await journal.aclose()


if __name__ == "__main__":
    asyncio.run(main())
