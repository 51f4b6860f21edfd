"""Every adapter through the shipped suites; here the simulated one, with each guard and with late and lost answers."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, ClassVar

import pytest
from msgspec.structs import replace

from batchwright.model.call_outcome import Created
from batchwright.model.ids import Token
from batchwright.model.scalar import Scalar
from batchwright.model.workflow import ServerConfig
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.base import Provider
from batchwright.providers.simulated import Simulated, SimulatedRunner, SimulatedServer, Simulation, World
from batchwright.taskservs.base import Runner, Target
from batchwright.testing.provider_suite import ProviderSuite
from batchwright.testing.runner_suite import RunnerSuite
from batchwright.testing.virtual_clock import VirtualClock, run_virtual


class SimulatedRig(ProviderSuite):
    """The suite in virtual time."""

    settings: ClassVar[dict[str, Scalar]] = {}
    name = "upcloud"

    @pytest.fixture(autouse=True)
    def _world(self) -> None:
        self.world = World()

    def client(self) -> Provider:
        return self._client(self.settings)

    def _client(self, settings: dict[str, Scalar]) -> Provider:
        return Simulated(self.name, self.world, self.clock(), Simulation.from_settings(settings, self.name))

    def clock(self) -> VirtualClock:
        return VirtualClock()

    def config(self, name: str) -> ServerConfig:
        return ServerConfig(name, "1xCPU-2GB", "de-fra1")

    def bad_config(self) -> ServerConfig | None:
        return ServerConfig("suite-bad", "1xCPU-2TB", "de-fra1")

    def losing_client(self) -> Provider:
        return self._client({**self.settings, "lost_answers": 1})

    def other_plan(self) -> str:
        return "4xCPU-8GB"

    def refusing_client(self) -> Provider:
        return self._client({**self.settings, "fail_change": "*=quota"})

    def change_losing_client(self) -> Provider:
        return self._client({**self.settings, "lost_answers": 1})

    def labels(self, ref: str) -> dict[str, str]:
        server = self._server(ref)
        return {**server.request.labels, "run": server.run, "token": server.token}

    def label(self, ref: str, key: str, value: str) -> None:
        request = self._server(ref).request
        with self.world.turn:
            self.world.change(ref, replace(request, labels={**request.labels, key: value}))

    def disown(self, ref: str) -> Callable[[], None] | None:
        server = self._server(ref)
        kept = server.run, server.token
        server.run = server.token = ""

        def give_back() -> None:
            server.run, server.token = kept

        return give_back

    def _server(self, ref: str) -> SimulatedServer:
        self.world.refresh()
        server = self.world.server(ref)
        assert server is not None
        return server

    def drive(self, main: Coroutine[Any, Any, None]) -> None:
        run_virtual(main)


class TestSimulated(SimulatedRig):
    """As it is without any setting."""


class TestInstant(SimulatedRig):
    settings: ClassVar = {"time_scale": 0}


class TestTokenGuard(SimulatedRig):
    settings: ClassVar = {"guard": "token", "list_lag": 4}


class TestUniqueNameGuard(SimulatedRig):
    settings: ClassVar = {"upcloud.guard": "unique_name"}


class TestLateAndLagging(SimulatedRig):
    """Nothing shows up before 6 seconds, and a lost answer's server comes to be up to 5 seconds late."""

    settings: ClassVar = {"list_lag": 6, "late_max": 5}

    def losing_client(self) -> Provider:
        return self._client({**self.settings, "late_commits": 1})

    def client(self) -> Provider:
        return self._client({**self.settings, "fail": "nobody=late"})  # the settle time has to cover late commits


class TestAnyName(SimulatedRig):
    """A provider that nobody has a profile of takes what it is asked for."""

    name = "elsewhere"

    test_a_bad_plan_is_named_offline_and_not_resolved = None  # no plan is bad here
    test_rejected_means_that_nothing_is_made = None


class TestDurable(SimulatedRig):
    """Two clients, each with its own view of one world file, as two processes have."""

    settings: ClassVar = {"guard": "token"}

    @pytest.fixture(autouse=True)
    def _world(self, tmp_path: Path):  # type: ignore[no-untyped-def]
        self.path, self.worlds = tmp_path / "world.db", list[World]()
        self.world = World(self.path)
        yield
        for world in (*self.worlds, self.world):
            world.close()

    def _client(self, settings: dict[str, Scalar]) -> Provider:
        self.worlds.append(World(self.path))
        return Simulated(self.name, self.worlds[-1], self.clock(), Simulation.from_settings(settings, self.name))

    def disown(self, ref: str) -> None:
        """Other processes would not see it."""


class TestResizedLive(SimulatedRig):
    """Nothing is stopped for another plan."""

    settings: ClassVar = {"resizes": "live"}


class TestReplacedOnly(SimulatedRig):
    """Only labels are changed in place."""

    settings: ClassVar = {"resizes": "replace"}

    def other_plan(self) -> str:
        return ""


class TestServersOfOthers(SimulatedRig):
    """Servers that were there before are not changed at all."""

    name = "static"

    def bad_config(self) -> None:
        return None


class TestSimulatedRunner(RunnerSuite):
    def drive(self, main: Coroutine[Any, Any, None]) -> None:
        run_virtual(main)

    async def rig(self) -> tuple[Runner, Target]:
        world, clock = World(), VirtualClock()
        provider = Simulated("upcloud", world, clock, Simulation.instant())
        made = await provider.create(ServerRequest("web", "1xCPU-2GB", "de-fra1"), Token("run", "token"))
        assert isinstance(made, Created)
        runner: Runner = SimulatedRunner(world, clock)
        return runner, Target("upcloud", made.ref, "web", made.address)
