"""The activity that drives one run as a service does: under its lease, with the same supervisor and limits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from functools import partial
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from batchwright.app.active_run import ActiveRun
from batchwright.errors import BatchwrightError, RunHeld
from batchwright.model.lifecycle import RUN_ENDED
from batchwright.model.run import Run
from batchwright.service.run_supervisor import RunSupervisor, drive

HEARTBEAT_SECONDS = 1.0
HELD_SECONDS, HELD_MAX = 1.0, 8.0  # until a run that another process drives is looked at again, doubled each time
TROUBLE_SECONDS, TROUBLE_MAX = 2.0, 60.0  # until a run that cannot be driven is tried again, doubled each time

log = logging.getLogger("batchwright.worker")


class DriveActivity:
    """Drives runs of the stores that this worker reaches. `grace` is how long calls in flight may take at its end."""

    def __init__(self, supervisor: RunSupervisor, grace: float) -> None:
        self._supervisor = supervisor
        self._grace = grace

    @activity.defn(name="drive")
    async def drive(self, run_id: str) -> dict[str, Any]:
        """Drive the run until it ends or rests: its `status`, and whether it `rests`.

        Raises ApplicationError, in words, if it is to be driven by another worker or later.
        """
        driven: list[ActiveRun] = []
        async with _heartbeats(driven):
            try:
                return await self._drive(run_id, driven)
            except RunHeld as error:
                raise _again(error, HELD_SECONDS, HELD_MAX) from error
            except BatchwrightError as error:
                log.warning("run %s is not driven here: %s", run_id, error.message)
                raise _again(error, TROUBLE_SECONDS, TROUBLE_MAX) from error

    async def _drive(self, run_id: str, under_way: list[ActiveRun]) -> dict[str, Any]:
        supervisor = self._supervisor
        journal, run_id = await supervisor.stores.find(run_id)
        async with supervisor.lock(run_id):
            row = await journal.summary(run_id)
            if row.status in RUN_ENDED and not row.rollback_due:
                return {"status": row.status.value, "rests": False}
            driven = supervisor.driven.get(run_id)  # there is one if Temporal did not hear of it for a while
            if driven is None:
                log.info("run %s (%s) is driven here", run_id, row.workflow)
                driven = supervisor.begin(row, partial(drive, supervisor.stored(journal, run_id)))
        under_way.append(driven)
        assert driven.task is not None
        stopping = asyncio.create_task(activity.wait_for_worker_shutdown())
        try:
            # cancelled when Temporal gives the run to another worker, which finds it held: it stays driven here
            await asyncio.wait({driven.task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
        await self._left(driven)
        return self._outcome(run_id, driven, None if driven.task.cancelled() else driven.task.result())

    async def _left(self, driven: ActiveRun) -> None:
        """Give the run back: its calls in flight may end, then its lease is free."""
        assert driven.task is not None
        if not driven.task.done():
            driven.drain()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._grace):
                    await asyncio.wait({driven.task})
        if not driven.task.done():
            driven.leave()
        await asyncio.wait({driven.task})

    def _outcome(self, run_id: str, driven: ActiveRun, run: Run | None) -> dict[str, Any]:
        rests = driven.driver is not None and driven.driver.resting
        if run is None or not (rests or (run.status in RUN_ENDED and not run.rollback_due)):
            log.info("run %s is given back, to go on at another worker", run_id)
            raise ApplicationError(
                f"the worker that drove run {run_id} stops; the run goes on at another",
                next_retry_delay=timedelta(milliseconds=100),
                category=ApplicationErrorCategory.BENIGN,
            )
        log.info("run %s is %s%s", run_id, run.status, " and waits for people" if rests else "")
        return {"status": run.status.value, "rests": rests}


def _again(error: BatchwrightError, seconds: float, most: float) -> ApplicationError:
    delay = min(most, seconds * 2 ** min(activity.info().attempt - 1, 10))
    return ApplicationError(
        f"{error.message} [{error.code}]",
        type=error.code,
        next_retry_delay=timedelta(seconds=delay),
        category=ApplicationErrorCategory.BENIGN,  # it is logged in our words
    )


@asynccontextmanager
async def _heartbeats(driven: list[ActiveRun]) -> AsyncIterator[None]:
    """Show Temporal that the worker lives, and how far the run is."""

    async def beat() -> None:
        while True:
            run = driven[-1].run if driven else None
            if run is None:
                activity.heartbeat()
            else:
                summary = run.summary("")
                activity.heartbeat({"event": run.seq, "steps": summary.steps, "succeeded": summary.succeeded})
            await asyncio.sleep(HEARTBEAT_SECONDS)

    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
