"""Providers and runners at a place, through the shipped suites: what is promised here is promised there."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, ClassVar

from batchwright.model.call_outcome import Created
from batchwright.model.ids import Token
from batchwright.model.scalar import Scalar
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.base import Provider
from batchwright.providers.simulated import Simulated, SimulatedRunner, Simulation, World
from batchwright.taskservs.base import Runner, Target
from batchwright.testing.runner_suite import RunnerSuite
from batchwright.testing.virtual_clock import VirtualClock, run_virtual
from tests.conformance.test_providers import SimulatedRig
from tests.support.place_carrier import provider_at, runner_at


class AtPlace(SimulatedRig):
    """What is wrong with a plan is only known there: `resolve` says it."""

    test_a_bad_plan_is_named_offline_and_not_resolved = None

    def _client(self, settings: dict[str, Scalar]) -> Provider:
        return provider_at(super()._client(settings))

    def test_a_bad_plan_is_named_by_the_place(self) -> None:
        async def main() -> None:
            provider = self.client()
            await provider.open()
            bad = self.bad_config()
            assert bad is not None
            (problems,) = await provider.resolve([bad])
            assert isinstance(problems, list)
            assert problems[0].field == "plan"

        self.drive(main())


class TestLabels(AtPlace):
    settings: ClassVar = {"guard": "label_only", "list_lag": 4}


class TestTokens(AtPlace):
    settings: ClassVar = {"guard": "token", "list_lag": 4}


class TestUniqueNames(AtPlace):
    settings: ClassVar = {"upcloud.guard": "unique_name"}


class TestRunnerAtPlace(RunnerSuite):
    def drive(self, main: Coroutine[Any, Any, None]) -> None:
        run_virtual(main)

    async def rig(self) -> tuple[Runner, Target]:
        world, clock = World(), VirtualClock()
        provider = Simulated("upcloud", world, clock, Simulation.instant())
        made = await provider.create(ServerRequest("web", "1xCPU-2GB", "de-fra1"), Token("run", "token"))
        assert isinstance(made, Created)
        return runner_at(SimulatedRunner(world, clock)), Target("upcloud", made.ref, "web", made.address)
