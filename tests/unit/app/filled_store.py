"""A store in a folder with the history of a shop, made in virtual time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from batchwright.app.multi_store import Stores
from batchwright.app.settings import Settings
from batchwright.journal.base import Journal
from batchwright.journal.memory import MemoryJournal
from tests.unit.app.test_environment_state import done, shop
from tests.unit.app.test_runs import House, housed


async def copied(source: MemoryJournal, target: Journal) -> None:
    """The same runs and environments in another store."""
    for row in await source.summaries():
        first, *rest = await source.pages(row.run)
        [(_, created)] = await source.read(row.run, 0, 1)
        own = replace(row, store=target.name)
        await target.create(created, own, first)  # type: ignore[arg-type]
        lease = await target.acquire(row.run, "copy:1:1", row.created_at)
        last = await target.copy(lease, rest)
        await target.append(lease, last, [], own)
        await target.release(lease)
    for environment in await source.environments():
        await target.write_environment(None, environment, await source.resources(environment.key))


def filled(folder: Path, store: str) -> None:
    """A store with twelve runs of a shop, of which eight may go."""

    async def play(house: House) -> Any:
        for names in ("a", "ab", "ab", "ab", "ab", "ab", "ab", "b", "bc", "bc", "bc", "bc"):
            await done(house, shop(*names))
        return await house.journal()

    source = housed(folder.with_name("house"), play)

    async def work() -> None:
        async with Stores(Settings(folder)) as stores:
            await copied(source, await stores.get(store))

    asyncio.run(work())
    for row in asyncio.run(source.summaries()):
        (folder / "keys" / row.run).mkdir(parents=True)
