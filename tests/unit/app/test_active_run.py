"""What is waited for before an action on a driven run is answered."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from batchwright.app.active_run import ActiveRun
from batchwright.engine.limits import Limits
from batchwright.model.lifecycle import RunState
from batchwright.model.run import Run
from batchwright.model.run_signal import SignalKind
from batchwright.service.run_control import EFFECTS
from batchwright.testing.virtual_clock import VirtualClock


async def never(_: ActiveRun) -> Run:
    raise AssertionError


def test_a_pause_is_answered_when_the_run_is_paused_and_not_at_the_next_event() -> None:
    """Other events become durable before the driver has read the signal."""
    run: Any = SimpleNamespace(status=RunState.RUNNING)

    async def paused() -> bool:
        return EFFECTS[SignalKind.PAUSE](run)

    async def scenario() -> None:
        active = ActiveRun("run", "memory", Limits(), VirtualClock(), never)
        active.driver = SimpleNamespace(run=run)  # type: ignore[assignment]
        active.task = asyncio.create_task(asyncio.sleep(600))  # type: ignore[assignment]
        answer = asyncio.create_task(active.until(paused, 600))
        for _ in range(3):
            await asyncio.sleep(0)
            active.appended([])
        await asyncio.sleep(0)
        assert not answer.done()
        run.status = RunState.PAUSED
        active.appended([])
        await answer
        active.task.cancel()

    asyncio.run(scenario())
