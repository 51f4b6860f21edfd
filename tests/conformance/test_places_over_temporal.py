"""Providers, runners and launchers at a place, through the shipped suites; each call is an activity of Temporal.

`make test` runs the suites of runners and launchers, and of the provider suite what shows the boundary itself. The rest
is long, as real time passes in it; in virtual time test_places.py runs it all.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest

from batchwright.app.backing_services import TemporalConfig
from batchwright.app.system_clock import SystemClock
from batchwright.model.call_outcome import Created
from batchwright.model.clock import Clock
from batchwright.model.ids import Token
from batchwright.model.scalar import Scalar
from batchwright.operations.server_batch import ServerRequest
from batchwright.places.call_answerer import CallAnswerer
from batchwright.places.place_link import PlaceLink
from batchwright.places.place_provider import PlaceProvider
from batchwright.places.place_runner import PlaceLauncher, PlaceRunner
from batchwright.providers.base import Provider
from batchwright.providers.simulated import Simulated, SimulatedRunner, Simulation, World
from batchwright.taskservs.base import Target
from batchwright.testing.launcher_suite import LauncherRig
from batchwright.testing.runner_suite import RunnerSuite, Scenario
from tests.conformance import test_launchers
from tests.conformance.test_places import AtPlace
from tests.support.place_carrier import Ports
from tests.support.temporal_places import TemporalPlaces

ALL = frozenset(name for name in dir(AtPlace) if name.startswith("test_"))
BOUNDARY = frozenset(
    {
        "test_a_bad_plan_is_named_by_the_place",
        "test_a_lost_answer_is_unknown_and_comes_to_light_within_the_settle_time",
        "test_another_client_finds_and_destroys_what_this_one_made",
        "test_many_at_once_are_all_listed_and_described_together",
        "test_a_refused_plan_leaves_the_server_running_with_the_former_one",
    }
)
PATIENCE = 60.0  # seconds for one test
SPEED = 200.0  # of the simulated clouds; waiting for their late effects takes a minute of theirs


class FastClock:
    """Real time, but more of it."""

    def now(self) -> float:
        return SystemClock.now() * SPEED

    def monotonic(self) -> float:
        return SystemClock.monotonic() * SPEED

    async def sleep(self, seconds: float) -> None:
        await SystemClock.sleep(seconds / SPEED)


class OverTemporal(AtPlace):
    """Each client is at a place of its own, as each has faults of its own."""

    patience = PATIENCE * SPEED

    @pytest.fixture(autouse=True)
    def _at_places(self, temporal: TemporalConfig) -> None:
        self.places = TemporalPlaces(temporal)

    def clock(self) -> Clock:  # type: ignore[override]
        return FastClock()

    def _client(self, settings: dict[str, Scalar]) -> Provider:
        there = Simulated(self.name, self.world, FastClock(), Simulation.from_settings(settings, self.name))
        place = self.places.place(CallAnswerer(Ports({self.name: there})))
        return PlaceProvider(self.name, PlaceLink(place, self.places))

    def drive(self, main: Coroutine[Any, Any, None]) -> None:
        async def with_workers() -> None:
            async with asyncio.timeout(PATIENCE), self.places:
                await main

        asyncio.run(with_workers())


class TestBoundary(OverTemporal):
    settings: ClassVar = {"guard": "label_only", "list_lag": 4}

    locals().update(dict.fromkeys(ALL - BOUNDARY))  # the others are long


@pytest.mark.long
class TestLabels(OverTemporal):
    settings: ClassVar = {"guard": "label_only", "list_lag": 4}


@pytest.mark.long
class TestTokens(OverTemporal):
    settings: ClassVar = {"guard": "token", "list_lag": 4}


@pytest.mark.long
class TestUniqueNames(OverTemporal):
    settings: ClassVar = {"upcloud.guard": "unique_name"}


class TestRunner(RunnerSuite):
    @pytest.fixture(autouse=True)
    def _at_places(self, temporal: TemporalConfig) -> None:
        self.places = TemporalPlaces(temporal)

    def play(self, scenario: Scenario) -> None:
        async def main() -> None:
            world, clock = World(), SystemClock()
            provider = Simulated("upcloud", world, clock, Simulation.instant())
            made = await provider.create(ServerRequest("web", "1xCPU-2GB", "de-fra1"), Token("run", "token"))
            assert isinstance(made, Created)
            there = Ports({"upcloud": provider}, SimulatedRunner(world, clock, Simulation.instant()))
            async with asyncio.timeout(PATIENCE), self.places:
                runner = PlaceRunner("upcloud", PlaceLink(self.places.place(CallAnswerer(there)), self.places))
                await scenario(runner, Target("upcloud", made.ref, "web", made.address))

        asyncio.run(main())


class TestLauncher(test_launchers.TestLocalLauncher):
    @pytest.fixture(autouse=True)
    def _at_places(self, temporal: TemporalConfig) -> None:
        self.places = TemporalPlaces(temporal)

    @asynccontextmanager
    async def rig(self, folder: Path) -> AsyncIterator[LauncherRig]:
        async with self.places:
            place = self.places.place(CallAnswerer(Ports(launcher=test_launchers.local_launcher(folder))))
            yield LauncherRig(PlaceLauncher("", PlaceLink(place, self.places)), folder)
