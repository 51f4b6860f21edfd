"""What the screen of a driving process says of the limits its calls wait for."""

from __future__ import annotations

from pathlib import Path

from batchwright.app.active_run import ActiveRun
from batchwright.app.runs import Runs
from batchwright.app.settings import Settings
from batchwright.cli.progress_frame import frame
from batchwright.model.lifecycle import RunState
from batchwright.testing.virtual_clock import VirtualClock, run_virtual
from tests.unit.app.test_runs import MemoryStores
from tests.unit.engine.stage import QUICK, plan_of, servers

STATED = {"aws.rate": 2.0, "aws.destroy_rate": 4.0, "aws.burst": 2, "publish_rate": True}


def test_the_rate_that_calls_wait_for_is_told_for_each_class_of_them(tmp_path: Path) -> None:
    async def play() -> None:
        settings, clock = Settings(tmp_path), VirtualClock()
        stores = MemoryStores(settings)
        runs = Runs(settings, stores, clock)
        names = [f"web-{n}" for n in range(12)]
        plan = plan_of({**QUICK, **STATED}, servers("up", *names, provider="aws"), servers("db", "a"), limit=20)
        stored = await runs.create(plan, "me")

        async def screen(active: ActiveRun, wanted: RunState) -> str:
            shown = [frame(update.view, 110, 20) async for update in active.updates(0.3)]
            assert active.run is not None
            assert active.run.status is wanted
            return "\n".join(line.plain for line in shown[0])

        shown = await screen(runs.resume(stored, "me"), RunState.COMPLETED)
        assert "providers aws 0 of 12 (rate 2/s); upcloud 0 of 1" in shown
        assert "waiting   10  waits for aws: rate 2/s" in shown
        shown = await screen(runs.rollback(stored, "me"), RunState.ROLLED_BACK)
        assert "(rate 4/s)" in shown
        assert "waits for aws: rate 4/s" in shown

    run_virtual(play())
