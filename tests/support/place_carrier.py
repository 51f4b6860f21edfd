"""A carrier within one process: calls go through the same bytes, and may be lost, late or find nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from batchwright.commands.base import Launcher
from batchwright.errors import PlaceAnswerLost, PlaceUnreachable
from batchwright.places import codec
from batchwright.places.call_answerer import CallAnswerer
from batchwright.places.carrier import START_SECONDS, PlaceCall
from batchwright.places.place_link import PlaceLink
from batchwright.places.place_provider import PlaceProvider
from batchwright.places.place_runner import PlaceLauncher, PlaceRunner
from batchwright.providers.base import Provider
from batchwright.taskservs.base import Runner

DYING_SECONDS = 0.2  # after which a worker dies in a call: the median of a simulated answer


class Ports:
    """What a worker has; everything is allowed, unless `refuse` raises."""

    def __init__(
        self,
        providers: Mapping[str, Provider] | None = None,
        runner: Runner | None = None,
        launcher: Launcher | None = None,
        refuse: Callable[[PlaceCall], None] = lambda _: None,
    ) -> None:
        self.providers, self._runner, self._launcher, self._refuse = dict(providers or {}), runner, launcher, refuse
        self._open: set[str] = set()
        self.runners: dict[object, Runner] = {}  # several of them, where each has its own faults

    async def report(self) -> codec.PlaceReport:
        return codec.PlaceReport("1.0", codec.contract(), "worker-1")

    def allowed(self, call: PlaceCall, given: dict[str, Any]) -> dict[str, Any]:
        self._refuse(call)
        return given

    async def provider(self, name: str) -> Provider:
        if name not in self._open:
            await self.providers[name].open()
            self._open.add(name)
        return self.providers[name]

    def runner(self, provider: str) -> Runner:
        return self._runner or next(iter(self.runners.values()))

    def launcher(self, provider: str) -> Launcher:
        assert self._launcher is not None
        return self._launcher


class MemoryCarrier:
    """Carries to workers of this process."""

    def __init__(self, workers: Mapping[str, CallAnswerer]) -> None:
        self.workers = dict(workers)
        self.sent: list[tuple[str, PlaceCall]] = []
        self.begun: list[str] = []
        self.lose: Callable[[PlaceCall], str] = lambda _: ""  # "before", "during", "after": when its worker dies
        self._running: dict[str, asyncio.Task[bytes]] = {}

    async def carry(
        self, place: str, call: str, message: bytes, limit: float, live: Callable[[bytes], None] | None = None
    ) -> bytes:
        self.sent.append((call, codec.read(message, PlaceCall)))
        if place not in self.workers:
            await asyncio.sleep(START_SECONDS)
            raise PlaceUnreachable(f"nobody is at {place}")
        lost = self.lose(self.sent[-1][1])
        if lost == "before":
            raise PlaceAnswerLost("the worker died")
        if lost == "during":
            await self._interrupted(place, call, message)
        answer = await self.start(place, call, message)
        if lost:
            raise PlaceAnswerLost("the worker died")
        return answer

    async def _interrupted(self, place: str, call: str, message: bytes) -> NoReturn:
        """The worker dies in the midst of the call, which the cloud may have heard of."""
        task = self.start(place, call, message)
        await asyncio.wait({task}, timeout=DYING_SECONDS)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise PlaceAnswerLost("the worker died")

    def start(self, place: str, call: str, message: bytes, delay: float = 0.0) -> asyncio.Task[bytes]:
        """The call at the worker, begun or under way already."""
        if call not in self._running:
            self.begun.append(call)
            task = asyncio.ensure_future(self._work(place, message, delay))
            self._running[call] = task
            task.add_done_callback(lambda _: self._running.pop(call, None))
        return self._running[call]

    async def _work(self, place: str, message: bytes, delay: float) -> bytes:
        if delay:
            await asyncio.sleep(delay)
        return await self.workers[place].answer(message)


def provider_at(provider: Provider, carrier: MemoryCarrier | None = None) -> PlaceProvider:
    """The provider, seen from another place."""
    answerer = CallAnswerer(Ports({provider.name: provider}))
    return PlaceProvider(provider.name, PlaceLink("far", carrier or MemoryCarrier({"far": answerer})))


def runner_at(runner: Runner, provider: str = "upcloud") -> PlaceRunner:
    """The runner, seen from another place."""
    return PlaceRunner(provider, PlaceLink("far", MemoryCarrier({"far": CallAnswerer(Ports(runner=runner))})))


def launcher_at(launcher: Launcher, provider: str = "") -> PlaceLauncher:
    """The launcher, seen from another place."""
    return PlaceLauncher(provider, PlaceLink("far", MemoryCarrier({"far": CallAnswerer(Ports(launcher=launcher))})))
