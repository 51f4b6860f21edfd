"""What the screen of a driving process says of the limits its calls wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from pathlib import Path

from batchwright.app.foreground import Foreground
from batchwright.app.settings import Settings
from batchwright.cli.run_picture import frame
from batchwright.model.lifecycle import RunState
from batchwright.model.run import Run
from batchwright.testing.virtual_clock import VirtualClock, run_virtual
from batchwright.views.run import LIVE, run_view
from tests.unit.app.test_runs import MemoryStores
from tests.unit.engine.stage import QUICK, plan_of, servers

STATED = {"aws.rate": 2.0, "aws.destroy_rate": 4.0, "aws.burst": 2, "publish_rate": True}


def test_the_rate_that_calls_wait_for_is_told_for_each_class_of_them(tmp_path: Path) -> None:
    async def play() -> None:
        settings, clock = Settings(tmp_path), VirtualClock()
        here = Foreground(settings, MemoryStores(settings), clock)
        names = [f"web-{n}" for n in range(12)]
        plan = plan_of({**QUICK, **STATED}, servers("up", *names, provider="aws"), servers("db", "a"), limit=20)
        run_id = await here.drives.create(plan, "me")

        async def screen(work: Awaitable[Run], wanted: RunState) -> str:
            driving = asyncio.ensure_future(work)
            await clock.sleep(0.3)
            assert here.run is not None
            view = run_view(here.run, clock.now(), around=here.circumstances(), bounds=LIVE)
            assert (await driving).status is wanted
            return "\n".join(line.plain for line in frame(view, 110, 20))

        shown = await screen(here.drives.resume(run_id, "me"), RunState.COMPLETED)
        assert "providers aws 0 of 12 (rate 2/s); upcloud 0 of 1" in shown
        assert "waiting   10  waits for aws: rate 2/s" in shown
        shown = await screen(here.drives.rollback(run_id, "me"), RunState.ROLLED_BACK)
        assert "(rate 4/s)" in shown
        assert "waits for aws: rate 4/s" in shown

    run_virtual(play())
