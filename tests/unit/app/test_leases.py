"""Who holds the runs that have not ended, as far as one read of the stores shows."""

from __future__ import annotations

from pathlib import Path

from batchwright.app.lease_list import leases
from batchwright.journal.lease_holder import LEASE_SECONDS, moved_to
from batchwright.views.leases import LeaseLine, LeaseState
from tests.unit.app.test_environment_state import created, done, shop
from tests.unit.app.test_runs import House, housed


async def told(house: House) -> list[LeaseLine]:
    return list(await leases(house.stores, house.clock))


def test_a_run_is_held_by_who_gives_signs_of_life(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await done(house, shop("a"))
        assert await told(house) == []
        staging = await created(house, shop("s", environment="staging"))
        (free,) = await told(house)
        assert (free.run, free.environment, free.state, free.holder) == (staging.id, "shop/staging", "free", "")
        assert (free.turn, free.since > 0) == (1, True)
        journal = await house.journal()
        lease = await journal.acquire(staging.id, "elsewhere:7:1", house.clock.now())
        (held,) = await told(house)
        assert (held.state, held.holder, held.fence) == (LeaseState.HELD, "process 7 on elsewhere", lease.fence)
        assert held.until == house.clock.now() + LEASE_SECONDS
        await house.clock.sleep(LEASE_SECONDS + 1)
        (dead,) = await told(house)
        assert (dead.state, dead.holder) == (LeaseState.DEAD, "process 7 on elsewhere")

    housed(tmp_path, play)


def test_a_run_that_moves_to_another_store_is_held_by_nobody(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        staging = await created(house, shop("s", environment="staging"))
        await (await house.journal()).acquire(staging.id, moved_to("surrealdb"), house.clock.now())
        (moved,) = await told(house)
        assert (moved.state, moved.holder, moved.until) == (LeaseState.MOVED, "moved to surrealdb", 0.0)

    housed(tmp_path, play)
