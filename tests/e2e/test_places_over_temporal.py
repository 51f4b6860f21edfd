"""Calls to a place as standalone activities of Temporal's development server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from temporalio.worker import Worker
from tests.support.place_carrier import Ports

from batchwright.app.backing_services import TemporalConfig
from batchwright.app.system_clock import SystemClock
from batchwright.errors import PlaceAnswerLost, PlaceUnreachable
from batchwright.fleet import temporal_carrier
from batchwright.fleet.configured_carrier import PlaceCarrier
from batchwright.fleet.connection import connected
from batchwright.fleet.place_activity import PlaceActivity
from batchwright.model.call_outcome import Created, Rejected
from batchwright.model.fault import FaultClass
from batchwright.model.ids import Token
from batchwright.operations.server_batch import ServerRequest
from batchwright.places.call_answerer import CallAnswerer
from batchwright.places.place_link import PlaceLink
from batchwright.places.place_provider import PlaceProvider
from batchwright.places.place_runner import PlaceRunner
from batchwright.providers.base import Provider
from batchwright.providers.simulated import Simulated, SimulatedRunner, Simulation, World
from batchwright.taskservs.base import Runner, Target
from batchwright.testing.runner_suite import RunnerSuite, Scenario

REQUEST = ServerRequest("web-01", "1xCPU-2GB", "de-fra1")


class Slow(Simulated):
    """Its creates take until they are let go, and are counted."""

    def __init__(self) -> None:
        super().__init__("upcloud", World(), SystemClock(), Simulation.instant())
        self.begun, self.cancelled = 0, asyncio.Event()
        self.under_way, self.go = asyncio.Event(), asyncio.Event()

    async def create(self, request: ServerRequest, token: Token) -> object:  # type: ignore[override]
        self.begun += 1
        self.under_way.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return await super().create(request, token)


@asynccontextmanager
async def working(config: TemporalConfig, provider: Provider, runner: Runner | None = None) -> AsyncIterator[None]:
    """A worker at the place."""
    client = await connected(config)
    activity = PlaceActivity(CallAnswerer(Ports({provider.name: provider}, runner)))
    async with Worker(client, task_queue=config.place_queue("far"), activities=[activity.call]):
        yield


def here(config: TemporalConfig, name: str = "upcloud") -> PlaceProvider:
    """The provider as another process sees it."""
    return PlaceProvider(name, PlaceLink("far", PlaceCarrier(config)))


def test_the_same_create_twice_at_once_is_begun_once(temporal: TemporalConfig) -> None:
    async def main() -> None:
        provider, token = Slow(), Token("abcdefabcdef", "token")
        async with working(temporal, provider):
            first, second = here(temporal), here(temporal)
            await first.open()
            assert first.capabilities.at == "far"
            one = asyncio.create_task(first.create(REQUEST, token))
            await provider.under_way.wait()
            other = asyncio.create_task(second.create(REQUEST, token))
            looks = await asyncio.gather(*(first.find() for _ in range(5)))
            assert looks == [[]] * 5
            provider.go.set()
            made = await asyncio.gather(one, other)
            assert isinstance(made[0], Created)
            assert made[0] == made[1]
            assert provider.begun == 1
            (seen,) = await first.find("abcdefabcdef")
            assert (seen.ref, seen.token) == (made[0].ref, "token")

    asyncio.run(asyncio.wait_for(main(), 60))


def test_a_caller_that_gives_up_cancels_its_call(temporal: TemporalConfig) -> None:
    async def main() -> None:
        provider = Slow()
        async with working(temporal, provider):
            call = asyncio.create_task(here(temporal).create(REQUEST, Token("abcdefabcdef", "token")))
            await provider.under_way.wait()
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            await provider.cancelled.wait()
            assert await here(temporal).find() == []

    asyncio.run(asyncio.wait_for(main(), 60))


def test_nobody_there_is_a_refusal_and_a_dead_worker_a_lost_answer(
    temporal: TemporalConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(temporal_carrier, "START_SECONDS", 1.0)
    monkeypatch.setattr(temporal_carrier, "MARGIN_SECONDS", 0.0)
    monkeypatch.setattr(temporal_carrier, "APPEAR_SECONDS", 0.0)

    async def main() -> None:
        provider = here(temporal)
        refused = await provider.create(REQUEST, Token("abcdefabcdef", "token"))
        assert isinstance(refused, Rejected)
        assert refused.fault.kind is FaultClass.TRANSIENT
        assert "no worker is at far" in refused.fault.message
        with pytest.raises(PlaceUnreachable, match="no worker is at far"):
            await provider.find()
        monkeypatch.setattr(temporal_carrier, "APPEAR_SECONDS", 30.0)
        async with working(temporal, slow := Slow()):
            await provider.open()
        with pytest.raises(PlaceUnreachable, match="no worker at far took the call"):
            await provider.find()
        async with working(temporal, slow):
            link = PlaceLink("far", PlaceCarrier(temporal))
            given = {"request": REQUEST, "token": Token("abcdefabcdef", "token")}
            with pytest.raises(PlaceAnswerLost):
                await link.ask("provider", "create", "upcloud", given, limit=1.0, about="x")

    asyncio.run(asyncio.wait_for(main(), 60))


def test_without_temporal_a_call_is_certainly_not_begun() -> None:
    async def main() -> None:
        refused = await here(TemporalConfig("127.0.0.1:1")).create(REQUEST, Token("abcdefabcdef", "token"))
        assert isinstance(refused, Rejected)
        assert refused.fault.code == "place-unreachable"

    asyncio.run(asyncio.wait_for(main(), 60))


class TestRunnerOverTemporal(RunnerSuite):
    """The runner suite; each call is an activity."""

    @pytest.fixture(autouse=True)
    def _server(self, temporal: TemporalConfig) -> None:
        self.config = temporal

    def play(self, scenario: Scenario) -> None:
        async def main() -> None:
            world, clock = World(), SystemClock()
            provider = Simulated("upcloud", world, clock, Simulation.instant())
            made = await provider.create(REQUEST, Token("run", "token"))
            assert isinstance(made, Created)
            async with working(self.config, provider, SimulatedRunner(world, clock, Simulation.instant())):
                runner = PlaceRunner("upcloud", PlaceLink("far", PlaceCarrier(self.config)))
                await scenario(runner, Target("upcloud", made.ref, "web", made.address))

        asyncio.run(asyncio.wait_for(main(), 60))
