"""Calls to a place as standalone activities of Temporal's development server."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from tests.conformance.test_launchers import local_launcher
from tests.support.place_carrier import Ports
from tests.support.temporal_places import at_work

from batchwright.app.backing_services import TemporalConfig
from batchwright.app.system_clock import SystemClock
from batchwright.commands.base import Launch
from batchwright.errors import PlaceAnswerLost, PlaceUnreachable
from batchwright.fleet import place_activity, temporal_carrier
from batchwright.fleet.configured_carrier import PlaceCarrier
from batchwright.model.call_outcome import Applied, Created, Rejected
from batchwright.model.fault import FaultClass
from batchwright.model.ids import Token
from batchwright.operations.command import CommandRequest
from batchwright.operations.server_batch import ServerRequest
from batchwright.places.call_answerer import CallAnswerer
from batchwright.places.place_link import PlaceLink
from batchwright.places.place_provider import PlaceProvider
from batchwright.places.place_runner import PlaceLauncher
from batchwright.providers.base import Provider
from batchwright.providers.simulated import Simulated, Simulation, World

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


def working(config: TemporalConfig, provider: Provider) -> AbstractAsyncContextManager[None]:
    """A worker at the place."""
    return at_work(config, "far", CallAnswerer(Ports({provider.name: provider})))


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


def cut_off(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Once it is set, the worker's heartbeats get no answer, as in a network that lets nothing through."""
    cut, beat = asyncio.Event(), place_activity.Pulse._beat

    async def beat_in_vain(self: place_activity.Pulse) -> None:
        if cut.is_set():
            await asyncio.Event().wait()
        await beat(self)

    monkeypatch.setattr(place_activity.Pulse, "_beat", beat_in_vain)
    monkeypatch.setattr(place_activity, "LIBRARY_EVERY", 1_000_000)
    monkeypatch.setattr(temporal_carrier, "HEARTBEAT_SECONDS", 3.0)
    return cut


def test_a_worker_that_is_cut_off_stops_its_call_before_it_counts_as_dead(
    temporal: TemporalConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        cut, provider = cut_off(monkeypatch), Slow()
        async with working(temporal, provider):
            call = asyncio.create_task(here(temporal).create(REQUEST, Token("abcdefabcdef", "token")))
            await provider.under_way.wait()
            cut.set()
            (lost,) = await asyncio.gather(call, return_exceptions=True)
            assert isinstance(lost, PlaceAnswerLost), lost
            assert provider.cancelled.is_set()
            assert await here(temporal).find() == []
            assert provider.begun == 1

    asyncio.run(asyncio.wait_for(main(), 60))


def test_a_worker_that_is_cut_off_begins_nothing(temporal: TemporalConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        cut, provider = cut_off(monkeypatch), Slow()
        cut.set()
        async with working(temporal, provider):
            answer = await here(temporal).create(REQUEST, Token("abcdefabcdef", "token"))
            assert isinstance(answer, Rejected), answer
            assert (answer.fault.kind, answer.fault.code) == (FaultClass.TRANSIENT, "place-unreachable")
            assert provider.begun == 0

    asyncio.run(asyncio.wait_for(main(), 60))


def test_output_of_a_call_comes_while_it_goes_on(
    temporal: TemporalConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The program ends only when its first line has been heard here; each line is told once."""
    monkeypatch.setattr(temporal_carrier, "LIVE_SECONDS", 0.2)
    monkeypatch.setattr(place_activity, "HEARTBEAT_SECONDS", 0.2)
    go, heard = tmp_path / "go", list[str]()

    def tell(line: str) -> None:
        heard.append(line)
        if "one" in heard:
            go.touch()

    async def main() -> None:
        words = f"echo one; echo two; until [ -e {go} ]; do sleep 0.05; done; echo three"
        answerer = CallAnswerer(Ports(launcher=local_launcher(tmp_path)))
        async with at_work(temporal, "far", answerer):
            launcher = PlaceLauncher("", PlaceLink("far", PlaceCarrier(temporal)))
            done = await launcher.launch(
                CommandRequest("sh", ("/bin/sh", "-c", words)), Launch("run", "step", "mark", tell=tell)
            )
        assert done == Applied()
        assert heard == ["one", "two", "three"]

    asyncio.run(asyncio.wait_for(main(), 60))


def test_without_temporal_a_call_is_certainly_not_begun() -> None:
    async def main() -> None:
        refused = await here(TemporalConfig("127.0.0.1:1")).create(REQUEST, Token("abcdefabcdef", "token"))
        assert isinstance(refused, Rejected)
        assert refused.fault.code == "place-unreachable"

    asyncio.run(asyncio.wait_for(main(), 60))
