"""A store that cannot be opened is left out of what is shown, never out of what is decided."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace

from batchwright.app.multi_store import Stores
from batchwright.app.runs import Runs
from batchwright.app.settings import Settings
from batchwright.app.system_clock import SystemClock
from batchwright.errors import StoreError
from tests.crash.scenarios import plan, servers


def test_nothing_is_decided_on_a_part_of_the_stores(tmp_path: Path) -> None:
    settings = Settings(tmp_path)

    async def main() -> None:
        async with Stores(settings) as stores:
            made = replace(plan({"seed": 1}, servers("up", "upcloud", "a")), storage_backend="filesystem")
            (tmp_path / "surrealdb").write_text("no folder")
            runs = Runs(settings, stores, SystemClock())
            run = (await runs.create(replace(made, storage_backend="filesystem"), "me")).id
            assert [row.run for row in await stores.summaries(partial=True)] == [run]
            assert list(stores.troubles) == ["surrealdb"]
            assert (await stores.find(run))[1] == run, "a whole id needs no other store"
            for word in ("latest", run[:4]):
                with pytest.raises(StoreError):
                    await stores.find(word)
            with pytest.raises(StoreError):
                await stores.summaries()

    asyncio.run(main())
