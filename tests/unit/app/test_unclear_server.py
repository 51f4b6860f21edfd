"""A server that a run left before it was certain that no other store created one of its name."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from batchwright.model.actions import Action
from batchwright.model.lifecycle import RunState, StepState
from tests.unit.app.test_environment_state import check_kept, created, done, shop
from tests.unit.app.test_runs import House, housed


def test_a_server_that_a_cancelled_run_left_is_used_once_a_look_shows_it_alone(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        lag: dict[str, Any] = {"list_lag": 3.0}
        first = await created(house, shop("a"), **lag)
        process = asyncio.create_task(house.runs.drive(first).finished())
        await house.clock.sleep(1.0)
        process.cancel()
        await asyncio.gather(process, return_exceptions=True)
        assert (await house.cancel(first.id, "ada", force=True)).record("up/a").state is StepState.CREATED
        await house.clock.sleep(10.0)
        before = house.clock.now()
        run = await done(house, shop("a"), **lag)
        assert run.status is RunState.COMPLETED
        (keep,) = [step for step in run.plan.steps if step.action is Action.KEEP]
        assert keep.unclear
        assert run.record(keep.id).ended_at >= before + 3.0
        again = await done(house, shop("a", port=81), **lag)
        assert not any(step.unclear for step in again.plan.steps)
        await check_kept(house)

    housed(tmp_path, play)
