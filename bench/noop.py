"""One measurement of the engine in a process of its own: `python -m bench.noop KIND N LIMIT FOLDER [STORE]`: JSON."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import time
from contextlib import nullcontext
from pathlib import Path

from tests.support.postgres_server import PostgresServer, new_folder

from batchwright.app.system_clock import SystemClock
from batchwright.engine.limits import Lane, Limits
from batchwright.engine.loop import Driver
from batchwright.journal import event_codec
from batchwright.journal.base import Journal
from batchwright.journal.postgres import PostgresAddress
from batchwright.journal.postgres.journal import PostgresJournal
from batchwright.journal.replay import load_run
from batchwright.journal.sqlite import SqliteJournal
from batchwright.journal.surreal import SurrealJournal
from batchwright.model import events as ev
from batchwright.model.actions import Action, Undo
from batchwright.model.lifecycle import RunState
from batchwright.model.plan import Guard, Plan, PlannedOperation, ProviderFacts, Step
from batchwright.model.run import Run
from batchwright.model.workflow import Dependency, OnFailure, Retry
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.simulated import Simulated, Simulation, World


def plan_of(count: int, limit: int, *, chained: bool = False, seconds: tuple[float, ...] = ()) -> Plan:
    """So many creates: in one batch, or each in an operation that depends on the one before."""
    ids = [f"op{i}" for i in range(count)] if chained else ["op"]
    operations = tuple(
        PlannedOperation(
            name,
            "server_batch",
            "bench",
            "bench",
            (Dependency(ids[i - 1]),) if i else (),
            OnFailure.CONTINUE,
            Retry(),
            60,
        )
        for i, name in enumerate(ids)
    )
    steps = tuple(
        Step(
            f"{ids[i] if chained else 'op'}/server-{i:06d}",
            ids[i] if chained else "op",
            "bench",
            Action.CREATE,
            Undo.DESTROY,
            ServerRequest(f"server-{i:06d}", "small", "zone-a"),
            seconds=seconds[i] if seconds else 1.0,
        )
        for i in range(count)
    )
    facts = (ProviderFacts("bench", "simulated-bench", Guard.LABEL_ONLY, 0.0),)
    return Plan("bench", "1", "filesystem", limit, True, operations, steps, facts)


class Timed:
    """A provider whose creates take a given time each and are then ready."""

    def __init__(self, inner: Simulated, seconds: dict[str, float]) -> None:
        self._inner, self._seconds = inner, seconds
        self.name, self.capabilities = inner.name, inner.capabilities
        self.find, self.describe, self.destroy = inner.find, inner.describe, inner.destroy

    async def create(self, request: ServerRequest, token: object) -> object:
        await asyncio.sleep(self._seconds[request.name])
        return await self._inner.create(request, token)  # type: ignore[arg-type]


async def drive(journal: Journal, run: Run, plan: Plan, *, stop_at: float = 0.0) -> tuple[Run, list[int]]:
    """Drive a run; gives the sizes of the batches it appended. `stop_at`: leave when so much of it is done."""
    clock, batches = SystemClock(), []
    provider = Simulated("bench", World(), clock, Simulation.instant(concurrency=10_000))
    seconds = {step.request.name: step.seconds for step in plan.steps}
    chosen = Timed(provider, seconds) if any(step.seconds != 1.0 for step in plan.steps) else provider
    limits = Limits()
    limits.add("bench", Lane(10_000))
    done = asyncio.Event()

    def listen(batch: object) -> None:
        batches.append(sum(len(event_codec.encode(event)) for event in batch))  # type: ignore[attr-defined]
        if stop_at and run.seq >= stop_at * 2 * len(plan.steps):
            done.set()

    lease = await journal.acquire(run.id, f"bench:{os.getpid()}:?", clock.now(), 0.0 if stop_at else 15.0)
    driver = Driver(journal, lease, run, {"bench": chosen}, {}, limits, clock, listen)  # type: ignore[dict-item]
    task = asyncio.create_task(driver.drive())
    stopper = asyncio.create_task(done.wait())
    await asyncio.wait({task, stopper}, return_when=asyncio.FIRST_COMPLETED)
    if not task.done():
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    stopper.cancel()
    await journal.release(lease)
    return run, batches


def store_in(folder: Path, store: str) -> Journal:
    """The journal that is measured; `store` may be the URL of a PostgreSQL database."""
    if store.startswith("postgresql:"):
        return PostgresJournal(PostgresAddress(store), folder)
    return SurrealJournal(folder / "surrealdb") if store == "surrealdb" else SqliteJournal(folder / "journal.db")


async def begin(folder: Path, plan: Plan, store: str) -> tuple[Journal, Run]:
    """A new store with one run."""
    journal = store_in(folder, store)
    await journal.open()
    created = ev.RunCreated(time.time(), "bench", plan)
    run = Run(created)
    await journal.create(created, run.summary(journal.name))
    return journal, run


def raw_append(folder: Path, batches: list[int]) -> float:
    """Seconds to append the same bytes to a file, one fsync per batch: what the disk allows."""
    with (folder / "raw").open("wb", buffering=0) as file:
        start = time.perf_counter()
        for size in batches:
            file.write(b"x" * size)
            os.fsync(file.fileno())
        return time.perf_counter() - start


async def measure(kind: str, count: int, limit: int, folder: Path, store: str = "filesystem") -> dict[str, object]:
    """Run one measurement."""
    seconds = tuple(0.02 + 0.18 * ((i * 7919) % 1000) / 1000 for i in range(count)) if kind == "makespan" else ()
    plan = plan_of(count, limit, chained=kind == "chained", seconds=seconds)
    journal, run = await begin(folder, plan, store)
    if kind == "reopen":
        await drive(journal, run, plan, stop_at=0.9)
        await journal.aclose()
        start, journal = time.perf_counter(), store_in(folder, store)
        await journal.open()
        run = await load_run(journal, "bench")
        loaded = time.perf_counter() - start
        events = run.seq
        await drive(journal, run, plan)
        assert run.status is RunState.COMPLETED
        await journal.aclose()
        return {"reopen": loaded, "events": events, "resumed_to_end": time.perf_counter() - start}
    start, cpu = time.perf_counter(), time.process_time()
    run, batches = await drive(journal, run, plan)
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    assert run.status is RunState.COMPLETED, run.reason
    await journal.aclose()
    bound = max(max(seconds), sum(seconds) / limit) if seconds else 0.0
    return {
        "wall": wall, "cpu": cpu, "rate": count / wall, "appends": len(batches), "bytes": sum(batches), "bound": bound,
        "raw": raw_append(folder, batches), "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }  # fmt: skip


if __name__ == "__main__":
    kind, count, limit, folder, *rest = sys.argv[1:]
    store = rest[0] if rest else "filesystem"
    with PostgresServer(new_folder(in_memory=False)) if store == "postgres" else nullcontext() as server:
        place = server.new_database().url if server is not None else store
        print(json.dumps(asyncio.run(measure(kind, int(count), int(limit), Path(folder), place))))
