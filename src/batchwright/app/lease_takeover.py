"""Take the lease of a run: at once if no process drives it, else only after its holder has shown no sign of life."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from batchwright.errors import BatchwrightError, RunHeld
from batchwright.journal.base import Journal, Lease
from batchwright.journal.lease_holder import (
    HeldLease,
    LeaseObserver,
    is_alive,
    is_dead,
    is_gone,
    own_holder,
    process_of,
    seconds_of,
)
from batchwright.model.clock import Clock

WATCH_SECONDS = 1.0  # between two looks at a lease whose holder cannot be seen
WATCH_LOOKS = 30  # at most

log = logging.getLogger("batchwright.leases")


async def take(journal: Journal, run: str, clock: Clock, silent: HeldLease | None = None, holder: str = "") -> Lease:
    """Take the lease for this process. `silent` is a lease that the caller has watched already.

    A holder on another machine that gives no sign of life for as long as it promised is replaced; the wait is logged.
    Raises RunHeld, RunNotFound.
    """
    holder = holder or own_holder()
    try:
        return await journal.acquire(run, holder, clock.now(), seconds_of(holder), silent=silent)
    except RunHeld:
        lease = await journal.held(run)
        if (
            lease is None
            or is_alive(lease.holder)
            or is_gone(lease)
            or not await _is_silent(journal, run, lease, clock)
        ):
            raise
        return await journal.acquire(run, holder, clock.now(), seconds_of(holder), silent=lease)


async def is_driven(journal: Journal, run: str, clock: Clock) -> HeldLease | bool:
    """Whether a process drives the run; if its driver fell silent while it was watched here, also that lease."""
    lease = await journal.held(run)
    if lease is None or is_dead(lease.holder):
        return False
    if is_alive(lease.holder) or is_gone(lease):
        return True
    return lease if await _is_silent(journal, run, lease, clock) else True


async def _is_silent(journal: Journal, run: str, lease: HeldLease, clock: Clock) -> bool:
    """Whether this lease stays as it is for as long as its holder promised to renew it, by this process's own time."""
    log.warning(
        "run %s is held by %s, which cannot be checked from here: waiting up to %.0f s to see whether it still works",
        *(run, process_of(lease.holder), seconds_of(lease.holder)),
    )
    sightings = LeaseObserver(clock.monotonic)
    for _ in range(WATCH_LOOKS):
        if sightings.silent(run, await journal.held(run)) == lease:
            return True
        if sightings.last(run) != lease:
            return False
        await clock.sleep(WATCH_SECONDS)
    return False


@asynccontextmanager
async def renewed(journal: Journal, lease: Lease, clock: Clock) -> AsyncIterator[None]:
    """Renew the lease while something else takes long. A lost lease shows at the next write."""

    seconds = seconds_of(lease.holder)

    async def keep() -> None:
        while True:
            await clock.sleep(seconds / 3)
            try:
                await journal.renew(lease, clock.now(), seconds)
            except BatchwrightError as error:
                log.warning("the lease of run %s could not be renewed: %s", lease.run, error.message)

    keeping = asyncio.create_task(keep())
    try:
        yield
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
