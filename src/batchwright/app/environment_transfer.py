"""Moves an environment, with all its runs, from one store to another."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from batchwright.app.run_transfer import LEFT, RunMigration, move_line
from batchwright.errors import EnvironmentBusy, EnvironmentElsewhere, EnvironmentRefused, RunHeld
from batchwright.journal.base import Journal
from batchwright.journal.environment_state import runs_of
from batchwright.journal.lease_holder import driver_of, is_moved, process_of
from batchwright.model.clock import Clock
from batchwright.model.environment import Environment, EnvironmentKey, copy_of
from batchwright.model.run_summary import RunSummary

REFUSALS = (*LEFT, EnvironmentRefused)


class MovedRun(Struct, frozen=True):
    """The result for one run; `left` says why it was not moved."""

    run: str
    workflow: str
    events: int = 0
    left: str = ""


class MovedEnvironment(Struct, frozen=True):
    """The result for one environment, after those of its runs; `left` says why it was not moved, or not as a whole."""

    space: str
    name: str
    resources: int = 0
    left: str = ""


class EnvironmentMigration:
    """Moves one environment. No run can change it meanwhile, in neither store, and it is never in both or in none.

    The target gets a row that marks an incomplete copy, then the row in the source names the target: from now on nobody
    can enter the environment anywhere. Then its runs are moved, each whole. Then the target's row is written, and the
    target has the environment from that moment; the source forgets its resources and keeps the row. If the process is
    killed at any point, the same command continues the move.
    """

    def __init__(self, source: Journal, target: Journal, clock: Clock, key: EnvironmentKey) -> None:
        self._source, self._target, self._clock, self._key = source, target, clock, key

    def left(self, why: str) -> MovedEnvironment:
        """The result if it stays where it is."""
        return MovedEnvironment(self._key.space, self._key.name, left=why)

    async def make(self) -> AsyncIterator[MovedRun | MovedEnvironment]:
        """Move what has begun to move; gives each run that was moved, at last the environment."""
        moving = ""
        try:
            for row in await pending_runs(self._source, self._target):
                if row.environment_key == self._key:
                    moving = f"run {row.run} could not be moved: "
                    yield MovedRun(row.run, row.workflow, await self._move(row))
            moving = ""
            yield MovedEnvironment(self._key.space, self._key.name, await self._finish())
        except REFUSALS as error:
            yield self.left(moving + error.message)

    async def _move(self, row: RunSummary) -> int:
        """One run; gives the number of its events in the stores."""
        if row.archive:
            await move_line(self._source, self._target, row)
            return 0
        return await RunMigration(self._source, self._target, self._clock, row).make()

    async def is_done(self) -> bool:
        """Whether an earlier move left nothing to do."""
        row, there = await self._rows()
        moved = row.store == self._target.name and there is not None and there.store != copy_of(self._source.name)
        return moved and not await self._source.resources(self._key)

    async def _rows(self) -> tuple[Environment, Environment | None]:
        row = await self._source.environment(self._key)
        if row is None:
            raise EnvironmentElsewhere(f"the environment {self._key.name} is not in the store {self._source.name}")
        return row, await self._target.environment(self._key)

    async def begin(self) -> None:
        """Take it from both stores, unless an earlier move did; the target then knows what the environment has.

        Raises EnvironmentRefused.
        """
        row, there = await self._rows()
        copy = Environment(row.space, row.name, store=copy_of(self._source.name))
        if row.store != self._target.name:
            await self._take(row, there, copy)
            there = copy
        if there == copy:
            resources, base = [await read(self._key) for read in (self._source.resources, self._source.base_resources)]
            await self._target.write_environment(copy, copy, resources, base=base if row.base_digest else None)

    async def _take(self, row: Environment, there: Environment | None, copy: Environment) -> None:
        if there is not None and (not there.store or (there.is_copy and there != copy)):
            message = f"the store {self._target.name} has, or is to get, another environment of this name"
            raise EnvironmentElsewhere(message)
        if there != copy:
            await self._target.write_environment(there, copy, [])
        await self._source.write_environment(row, replace(row, store=self._target.name))

    async def check(self) -> None:
        """Raise EnvironmentBusy or RunHeld if it cannot move now. Nothing has begun then; half of it would wait."""
        row, _ = await self._rows()
        if row.tenant:
            raise EnvironmentBusy(f"run {row.tenant} has not ended; resume or cancel it first", run=row.tenant)
        for one in await runs_of(self._source, self._key):
            lease = await self._source.held(one.run)
            driver = driver_of(lease, self._clock.now())
            if driver is not None and not is_moved(driver):
                raise RunHeld(f"run {one.run} is driven by {process_of(driver)}")

    async def _finish(self) -> int:
        """The rows, once all runs are there; gives the number of resources."""
        row, there = await self._rows()
        if there is not None and there.store == copy_of(self._source.name):
            await self._target.write_environment(there, replace(row, store=""))
        if await self._source.resources(self._key):
            await self._source.write_environment(row, row, [])
        return len(await self._target.resources(self._key))


async def move_together(
    source: Journal, target: Journal, clock: Clock, keys: Sequence[EnvironmentKey]
) -> AsyncIterator[MovedRun | MovedEnvironment]:
    """Move environments that use servers of one another.

    All have begun before the first is complete: what destroys a server looks at what other environments use.
    """
    moves = [EnvironmentMigration(source, target, clock, key) for key in keys]
    try:
        for move in moves:
            await move.check()
        for move in moves:
            await move.begin()
    except REFUSALS as error:
        for move in moves:
            yield move.left(error.message)
        return
    for move in moves:
        async for moved in move.make():
            yield moved


async def pending_runs(source: Journal, target: Journal) -> list[RunSummary]:
    """The runs of the source that are not in the target yet, oldest first.

    The summary of one whose move was interrupted names the target already, where it is incomplete.
    """
    home = {row.run for row in await target.summaries() if row.store == target.name}
    rows = [row for row in await source.summaries() if row.store in (source.name, target.name) and row.run not in home]
    return list(reversed(rows))
