"""What the journals cost: appends a second by how many wait at once, events a second in large appends, reading back.

Each figure stands beside the raw limit: the same bytes appended to a file with one fsync for each group.

    python bench/journal.py [--seconds 1] [--folder DIR]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from tests.support.postgres_server import PostgresServer, new_folder

from batchwright.errors import StorePackageMissing
from batchwright.journal import event_codec
from batchwright.journal.base import Journal, Lease
from batchwright.journal.memory import MemoryJournal
from batchwright.journal.postgres import PostgresJournal
from batchwright.journal.sqlite import SqliteJournal
from batchwright.journal.surreal import SurrealJournal
from batchwright.model.events import AnyEvent, StepStarted, StepSucceeded
from batchwright.testing.journal_suite import NOW, created, summary_of

APPENDERS = (1, 64, 256)
BATCH = 512
READ = 200_000


class Rate(NamedTuple):
    """Events a second, and milliseconds of CPU (all threads) for each group."""

    events: float
    cpu: float


def batch(start: int, size: int) -> list[AnyEvent]:
    """Small events as a run has them: a start, then a success."""
    return [
        StepStarted(NOW + number / 7, f"upcloud_servers/web-{number:05d}", 1, "abcdefghijklmnopqrstuvwxyz")
        if number % 2
        else StepSucceeded(NOW + number / 7, f"upcloud_servers/web-{number:05d}", f"00c0ffee-{number}", "10.0.0.1")
        for number in range(start, start + size)
    ]


async def appending(journal: Journal, name: str, appenders: int, size: int, seconds: float) -> Rate:
    """`appenders` tasks, each with a run of its own, append `size` events again and again."""
    leases: list[Lease] = []
    for number in range(appenders):
        run = f"{name}{appenders}x{size}-{number}"
        await journal.create(created(run), summary_of(run))
        leases.append(await journal.acquire(run, "bench", NOW))
    events = batch(0, size)
    until = time.perf_counter() + seconds

    async def appender(lease: Lease) -> int:
        last, rounds = 1, 0
        while time.perf_counter() < until:
            last = await journal.append(lease, last, events)
            rounds += 1
        return rounds

    begin, cpu = time.perf_counter(), time.process_time()
    rounds = sum(await asyncio.gather(*map(appender, leases)))
    spent, cpu = time.perf_counter() - begin, time.process_time() - cpu
    return Rate(rounds * size / spent, cpu / (rounds / appenders) * 1e3)


def raw(folder: Path, appenders: int, size: int, seconds: float) -> Rate:
    """The same bytes, one write and one fsync for each group."""
    body = b"".join(event_codec.encode_page(batch(0, size)) for _ in range(appenders))
    descriptor = os.open(folder / f"raw-{appenders}-{size}", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    begin, cpu, groups = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - begin < seconds:
        os.write(descriptor, body)
        os.fsync(descriptor)
        groups += 1
    spent, cpu = time.perf_counter() - begin, time.process_time() - cpu
    os.close(descriptor)
    return Rate(groups * appenders * size / spent, cpu / groups * 1e3)


async def reading(journal: Journal, size: int) -> float:
    """Seconds to read and decode READ events that were appended `size` at a time."""
    run = f"read-{size}"
    await journal.create(created(run), summary_of(run))
    lease, last = await journal.acquire(run, "bench", NOW), 1
    while last < READ:
        last = await journal.append(lease, last, batch(last, size))
    begin, after = time.perf_counter(), 0
    while after < last:
        after = (await journal.read(run, after))[-1][0]
    return time.perf_counter() - begin


async def measure(name: str, make: Callable[[], Journal], seconds: float) -> None:
    """Print one journal's figures."""
    journal = make()
    try:
        await journal.open()
    except StorePackageMissing as error:
        print(f"{name:<11} left out: {error}")
        return
    for appenders in APPENDERS:
        show(f"{name:<11} {appenders:>4} appenders x 1", await appending(journal, "b", appenders, 1, seconds))
    show(f"{name:<11}    1 appender  x {BATCH}", await appending(journal, "b", 1, BATCH, seconds))
    for size in (BATCH, 8):
        print(f"{name:<11} reads {READ:,} events appended {size} at a time in {await reading(journal, size):.2f} s")
    await journal.aclose()


def show(what: str, rate: Rate) -> None:
    """One line."""
    print(f"{what:<36} {rate.events:>12,.0f} events/s   {rate.cpu:>7.2f} ms CPU a group")


def main() -> None:
    """Measure all journals on one disk."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--seconds", type=float, default=1.0, help="for each figure")
    options.add_argument("--folder", type=Path, help="on the disk to measure; default: the temporary folder")
    chosen = options.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=chosen.folder)))
        for appenders in APPENDERS:
            show(f"raw limit   {appenders:>4} appenders x 1", raw(folder, appenders, 1, chosen.seconds))
        show(f"raw limit      1 appender  x {BATCH}", raw(folder, 1, BATCH, chosen.seconds))
        server = stack.enter_context(PostgresServer(new_folder(in_memory=False)))
        address = server.new_database()
        journals: list[tuple[str, Callable[[], Journal]]] = [
            ("memory", MemoryJournal),
            ("filesystem", lambda: SqliteJournal(folder / "journal.db")),
            ("surrealdb", lambda: SurrealJournal(folder / "surreal")),
            ("postgres", lambda: PostgresJournal(address, folder)),
        ]
        for adapter, make in journals:
            asyncio.run(measure(adapter, make, chosen.seconds))


if __name__ == "__main__":
    main()
