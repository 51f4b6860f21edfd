"""Read-only use case: who holds the runs that have not ended, and their environments."""

from __future__ import annotations

from batchwright.app.multi_store import Stores
from batchwright.errors import StoreError
from batchwright.journal.lease_holder import HeldLease, driver_of, is_moved, process_of
from batchwright.model.clock import Clock
from batchwright.model.environment import Environment
from batchwright.model.lifecycle import RUN_ENDED
from batchwright.model.run_summary import RunSummary
from batchwright.views.leases import LeaseLine, LeaseState

LEASES_MOST = 1_000


async def leases(stores: Stores, clock: Clock) -> tuple[LeaseLine, ...]:
    """The leases of the stores that can be read, those of the newest runs first; other stores are in their `troubles`.

    Raises StoreError if none can be read.
    """
    rows = await stores.summaries(partial=True)
    turns: dict[str, Environment] = {}
    for journal in await stores.readable():
        try:
            turns |= {row.tenant: row for row in await journal.environments() if row.tenant and not row.is_copy}
        except StoreError as error:
            stores.troubles[journal.name] = error
    open_ones = [row for row in rows if row.status not in RUN_ENDED or row.rollback_due or row.run in turns]
    return tuple([await _line(stores, clock, row, turns.get(row.run)) for row in open_ones[:LEASES_MOST]])


async def _line(stores: Stores, clock: Clock, row: RunSummary, turn: Environment | None) -> LeaseLine:
    lease = await (await stores.get(row.store)).held(row.run)
    state = _state(lease, clock.now())
    return LeaseLine(
        run=row.run,
        environment=row.environment_key.name,
        simulated=row.simulated,
        store=row.store,
        status=row.status,
        state=state,
        holder=process_of(lease.holder) if lease is not None else "",
        fence=lease.fence if lease is not None else 0,
        until=lease.expires if lease is not None and state is not LeaseState.MOVED else 0.0,
        turn=turn.turn if turn is not None else 0,
        since=turn.since if turn is not None else 0.0,
        asks=row.asks,
    )


def _state(lease: HeldLease | None, now: float) -> LeaseState:
    if lease is None:
        return LeaseState.FREE
    if is_moved(lease.holder):
        return LeaseState.MOVED
    return LeaseState.DEAD if driver_of(lease, now) is None else LeaseState.HELD
