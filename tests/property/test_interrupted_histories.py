"""I2, I7 and I8 over random histories: servers and services come, change, move and go, by processes that die."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from msgspec.structs import replace

from batchwright.errors import EnvironmentBusy
from batchwright.journal.environment_state import environment_state
from batchwright.model.actions import Action
from batchwright.model.environment import Resource
from batchwright.model.lifecycle import RunState
from batchwright.model.run import Run
from batchwright.model.workflow import Changes, OnFailure, Permission, Workflow
from batchwright.operations.server_batch import ServerBatch
from batchwright.providers.simulated import World
from tests.support.examples import share
from tests.unit.app.test_environment_state import SHOP, check_kept, created, done, planned, shop
from tests.unit.app.test_runs import House, housed

NAMES = ("a", "b", "c")
PLANS = ("1xCPU-2GB", "2xCPU-4GB")
LABELS: tuple[dict[str, str], ...] = ({}, {"team": "x"}, {"team": "y", "tier": "1"})
ZONES = ("de-fra1", "de-fra1", "de-fra1", "fi-hel1")  # another zone is another server
CHANGES_AT_MOST = 10


class History:
    """One environment, changed at random. `below` is what rollbacks of the newest runs lead back to."""

    def __init__(self, house: House, seed: int) -> None:
        self.house, self.chance, self.seed = house, random.Random(seed), seed
        self.below: list[tuple[str, tuple[Resource, ...]]] = []

    async def workflow(self) -> Workflow:
        """What somebody may want to have; a file that shares no server with its environment is refused."""
        pick = self.chance.choice
        wanted = set(self.chance.sample(NAMES, self.chance.randint(1, len(NAMES))))
        if there := sorted(one.name for one in await self.resources() if not one.server):
            wanted.add(pick(there))
        flow = shop(*sorted(wanted), port=pick((80, 81)), on_failure=pick((OnFailure.CONTINUE, OnFailure.ROLLBACK)))
        up, *rest = flow.operations
        assert isinstance(up, ServerBatch)
        configs = tuple(
            replace(one, plan=pick(PLANS), labels=pick(LABELS), zone=pick(ZONES)) for one in up.server_configs
        )
        everything = Changes(retire=Permission.ALLOWED, replace=Permission.ALLOWED)
        return replace(flow, operations=(replace(up, server_configs=configs), *rest), changes=everything)

    async def resources(self) -> tuple[Resource, ...]:
        return (await environment_state(await self.house.journal(), SHOP)).resources

    async def change(self) -> None:
        """One run, perhaps by a process that dies, perhaps with trouble; then it goes on, or is rolled back."""
        before, flow = await self.resources(), await self.workflow()
        trouble = self.chance.choice([{}, {}, {"lost_answers": 0.3, "transient": 0.2}, {"fail_change": "b=invalid"}])
        settings = {"seed": self.chance.randrange(100), **trouble}
        stored = await created(self.house, flow, **settings)
        process = asyncio.create_task(self.house.runs.drive(stored).finished())
        if self.chance.random() < 0.4:
            await self.house.clock.sleep(self.chance.uniform(0.0, 6.0))
            process.cancel()
        await asyncio.gather(process, return_exceptions=True)
        await self.house.clock.sleep(60.0)
        run = await self.house.run(stored.id)
        if run.status in (RunState.PENDING, RunState.RUNNING, RunState.ROLLING_BACK):
            with pytest.raises(EnvironmentBusy):
                await created(self.house, flow)
            run = await self.house.resume(run.id, "ada")
        state = await environment_state(await self.house.journal(), SHOP)
        if state.newest == run.id:
            self.below.append((run.id, before))
            if self.chance.random() < 0.4:
                await self.roll_back()
        await self.check(flow, run)

    async def roll_back(self) -> None:
        """I7: what the environment is after a rollback is what it was, without what is named as gone."""
        run_id, before = self.below.pop()
        gone = any(step.traits.removes for step in (await self.house.run(run_id)).plan.steps)
        run = await self.house.run(run_id)
        if run.plan.rollback_enabled and run.status is not RunState.ROLLED_BACK:
            run = await self.house.rollback(run_id, "ada")
        if run.status is RunState.ROLLBACK_INCOMPLETE:  # the simulated trouble is part of its plan
            self.below.append((run_id, before))
        elif not gone:
            now = {one.key: one for one in await self.resources()}
            assert {one.key: (one.ref, one.request) for one in before} == {
                key: (one.ref, one.request) for key, one in now.items()
            }, self.seed
            assert all(now[one.key].whole for one in before if one.whole), self.seed  # it may have got better

    async def check(self, flow: Workflow, run: Run) -> None:
        """What exists is what the environment has, and after a good run what the file asks for: then nothing is left
        to do.
        """
        await check_kept(self.house)
        resources = await self.resources()
        world = World(self.house.settings.world_file)
        there = {one.ref: one.request for one in world.servers(self.house.clock.now() + 60.0)}
        world.close()
        for one in resources:
            if not one.server and one.whole:
                request = there[one.ref]
                assert (request.plan, request.labels) == (one.request["plan"], one.request.get("labels", {})), self.seed
        assert {one.ref for one in resources if not one.server} == set(there), self.seed
        if (await self.house.run(run.id)).status is RunState.COMPLETED:
            again = await planned(self.house, flow)
            assert {step.action for step in again.steps} == {Action.KEEP}, self.seed


LONG = [pytest.param(n, marks=pytest.mark.long) for n in range(100, 400)]


@pytest.mark.parametrize("seed", [*range(share(40)), *LONG])
def test_a_random_history_adds_up(tmp_path: Path, seed: int) -> None:
    async def play(house: House) -> None:
        history = History(house, seed)
        await done(house, shop("a"))
        for _ in range(CHANGES_AT_MOST):
            await history.change()

    housed(tmp_path, play)
