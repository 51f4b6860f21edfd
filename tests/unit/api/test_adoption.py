"""What one service leaves, the next takes up: running, paused, rolling back, and about to roll back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batchwright.app.multi_store import Stores
from batchwright.app.settings import Settings
from batchwright.service.driver_starts import DriverStarts
from tests.support.service_in_loop import RUNS, serving, workflow

SLOW = {"boot_seconds": "1.5", "spread": "0"}


def test_unfinished_runs_go_on_and_a_paused_one_stays_paused(tmp_path: Path) -> None:
    async def main() -> list[Any]:
        async with serving(tmp_path) as service:
            going = (await service.submit(workflow("going", 4, parallel_limit=2), **SLOW)).json["run"]
            held = (await service.submit(workflow("held", 4, parallel_limit=2), **SLOW)).json["run"]
            await service.until(going, "Running")
            await service.until(held, "Running")
            assert (await service.post(f"{RUNS}/{held}/pause")).json["status"] == "Paused"
        async with serving(tmp_path) as service:
            seen = [await service.until(going, "Completed"), (await service.get(f"{RUNS}/{held}")).json]
            listed = (await service.get(RUNS, params={"status": "Paused"})).json["items"]
            await service.post(f"{RUNS}/{held}/resume")
            return [*seen, listed, await service.until(held, "Completed")]

    gone, paused, listed, end = asyncio.run(main())
    assert gone["restarts"] == 1
    assert (paused["status"], paused["driven"]) == ("Paused", True)
    assert [(row["workflow"], row["driven"]) for row in listed] == [("held", True)]
    assert end["done"] == 4


def test_runs_that_are_submitted_or_taken_up_begin_in_turns_and_what_people_ask_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns: list[str] = []
    turn = DriverStarts.turn

    async def seen(self: DriverStarts, caller: str) -> Callable[[], None]:
        turns.append(caller)
        return await turn(self, caller)

    monkeypatch.setattr(DriverStarts, "turn", seen)

    async def main() -> None:
        async with serving(tmp_path) as service:
            runs = [(await service.submit(workflow(f"one{i}", 1), boot_seconds="30")).json["run"] for i in range(6)]
            for run in runs:
                await service.until(run, "Running")
        assert turns == ["local"] * 6
        turns.clear()
        async with serving(tmp_path) as service:
            for run in runs:
                await service.until(run, "Running")
            assert turns == [""] * 6
            await service.post(f"{RUNS}/{runs[0]}/cancel", params={"force": "true"})
            await service.until(runs[0], "Cancelled")
            await service.post(f"{RUNS}/{runs[0]}/rollback")
            await service.until(runs[0], "RolledBack")
            assert turns == [""] * 6

    asyncio.run(main())


def test_a_rollback_under_way_goes_on(tmp_path: Path) -> None:
    async def main() -> Any:
        async with serving(tmp_path) as service:
            run = (await service.submit(workflow(count=6, parallel_limit=2), destroy_seconds="0.5")).json["run"]
            await service.until(run, "Completed")
            assert (await service.post(f"{RUNS}/{run}/rollback")).json["status"] == "RollingBack"
        async with serving(tmp_path) as service:
            return await service.until(run, "RolledBack")

    assert asyncio.run(main())["counts"] == {"undone": 6}


def test_a_run_that_another_process_drives_is_taken_up_when_that_one_is_gone(tmp_path: Path) -> None:
    async def main() -> Any:
        async with serving(tmp_path) as service:
            run = (await service.submit(workflow(count=2), **SLOW)).json["run"]
            await service.until(run, "Running")
        async with Stores(Settings(tmp_path)) as stores:
            journal = await stores.get("filesystem")
            lease = await journal.acquire(run, "elsewhere:1:1", 0.0, 1e12)
            async with serving(tmp_path) as service:
                before = run in service.supervisor.driven
                await journal.release(lease)
                return before, await service.until(run, "Completed")

    before, end = asyncio.run(main())
    assert not before
    assert end["status"] == "Completed"


def test_readers_are_answered_from_the_journal_and_never_from_what_is_not_durable(tmp_path: Path) -> None:
    async def main() -> tuple[int, int]:
        async with serving(tmp_path) as service:
            run = (await service.submit(workflow(count=30))).json["run"]
            await service.until(run, "Completed")
            feed = await service.supervisor.feeds.find(run)
            return feed.seq, (await feed.journal.read(run))[-1][0]

    seen, durable = asyncio.run(main())
    assert seen == durable
