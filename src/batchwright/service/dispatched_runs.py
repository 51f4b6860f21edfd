"""The runs of a service that other processes drive: dispatched when they are recorded, and while nobody has them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from batchwright.engine.machine import Machine
from batchwright.errors import BatchwrightError, EventUnreadable, NotAllowed
from batchwright.journal.base import Journal
from batchwright.journal.replay import load_run
from batchwright.model.clock import Clock
from batchwright.model.run_summary import RunSummary
from batchwright.service.resting_run import RestingRun
from batchwright.service.run_dispatcher import RunDispatcher


class DispatchedRuns:
    """Dispatches in the background: `failed` hears why that was not possible, `succeeded` that it was."""

    def __init__(
        self,
        dispatcher: RunDispatcher,
        clock: Clock,
        failed: Callable[[RunSummary, str], None],
        succeeded: Callable[[str], None],
    ) -> None:
        self._dispatcher = dispatcher
        self._clock = clock
        self._failed, self._succeeded = failed, succeeded
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self.accepted: dict[str, RestingRun | None] = {}  # runs that the dispatcher has
        self._waiting: dict[str, RestingRun] = {}

    def takes(self, row: RunSummary) -> bool:
        """Whether this run is driven elsewhere."""
        return self._dispatcher.takes(row.store)

    def dispatch(self, row: RunSummary, *, wake: bool = False, again: bool = False) -> None:
        """Have a run driven; at once, and without waiting for it. `again`: it has waited for a while."""
        task = asyncio.create_task(self._dispatch(row, self._under_way.get(row.run), wake=wake, again=again))
        self._under_way[row.run] = task
        task.add_done_callback(lambda done: self._ended(row.run, done))

    def _ended(self, run: str, task: asyncio.Task[None]) -> None:
        if self._under_way.get(run) is task:
            del self._under_way[run]

    async def _dispatch(self, row: RunSummary, after: asyncio.Task[None] | None, *, wake: bool, again: bool) -> None:
        if after is not None:
            await asyncio.wait({after})
        try:
            await self._dispatcher.dispatch(row, wake=wake)
            trouble = await self._dispatcher.trouble() if again else ""
        except BatchwrightError as error:
            trouble = f"{error.message} [{error.code}]"
        if trouble:
            self.accepted.pop(row.run, None)
            self._failed(row, trouble)
        else:
            self.accepted[row.run] = None
            self._succeeded(row.run)

    async def dispatch_again(self, journal: Journal, row: RunSummary) -> bool:
        """Have a run driven that no process drives, unless it waits for people and nobody has answered."""
        if row.asks:
            rest = await self._rest(journal, row)
            if rest is not None:
                if await rest.still_rests(journal, row, self._clock.now()):
                    return False
                read = len(await journal.signals(row.run))
                self._waiting[row.run] = RestingRun(read, rest.updated_at)
        self.dispatch(row, wake=bool(row.asks), again=True)
        return True

    async def _rest(self, journal: Journal, row: RunSummary) -> RestingRun | None:
        """How the run waits for people; None if it waits for something else, too."""
        rest = self._waiting.get(row.run)
        if rest is not None and rest.updated_at == row.updated_at:
            return rest
        try:
            run = await load_run(journal, row.run)
            waits = Machine(run).waits_for_people
        except (EventUnreadable, NotAllowed):  # of a newer version, whose workers can tell
            return None
        if not waits:
            return None
        read = run.heard if rest is None else max(run.heard, rest.signals_read)
        self._waiting[row.run] = RestingRun(read, row.updated_at)
        return self._waiting[row.run]

    def forget(self, run: str) -> None:
        """Forget a run that has ended."""
        self.accepted.pop(run, None)
        self._waiting.pop(run, None)

    async def aclose(self) -> None:
        """End what is under way; a service that looks for unfinished runs does it again."""
        for task in self._under_way.values():
            task.cancel()
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)
