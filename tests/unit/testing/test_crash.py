"""The crash wrappers: calls are numbered over all ports, death comes where ordered, the dead do and hear nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from batchwright.model.call_outcome import Applied
from batchwright.model.ids import Token
from batchwright.model.workflow import ServerConfig
from batchwright.operations.server_batch import ServerRequest
from batchwright.operations.taskserv_batch import TaskservRequest
from batchwright.providers.base import Provider
from batchwright.providers.simulated import Simulated, SimulatedRunner, Simulation, World
from batchwright.taskservs.base import Runner, Target
from batchwright.testing.crash_points import CrashingProvider, CrashingRunner, CrashPoint, ProcessDied, When
from batchwright.testing.virtual_clock import VirtualClock, run_virtual

CLOCK = VirtualClock()
WEB = ServerRequest("web", "1xCPU-2GB", "de-fra1")
TOKEN = Token("run1", "t")
REDIS = TaskservRequest("redis", "7.2", "upcloud")


def process(world: World, point: CrashPoint, **settings: float) -> tuple[Provider, Runner]:
    sim = Simulation.instant(**settings)
    simulated = Simulated("upcloud", world, CLOCK, sim)
    return CrashingProvider(simulated, point), CrashingRunner(SimulatedRunner(world, CLOCK, sim), point)


async def make_a_server(provider: Provider, runner: Runner) -> None:
    await provider.find("run1")
    await provider.create(WEB, TOKEN)
    target = Target("upcloud", "upcloud-000001", "web", "")
    assert await runner.install(REDIS, target) == Applied()


CALLS = ["upcloud.find", "upcloud.create web", "install redis on web"]


def test_without_a_point_it_only_counts() -> None:
    point = CrashPoint()
    run_virtual(make_a_server(*process(World(), point)))
    assert point.calls == CALLS
    assert str(point) == "no crash in 3 calls"


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("when", list(When))
def test_it_dies_on_the_ordered_side_of_the_ordered_call(n: int, when: When) -> None:
    world, point = World(), CrashPoint(n, when)
    with pytest.raises(ProcessDied, match=f"{when} call {n} .{CALLS[n - 1]}."):
        run_virtual(make_a_server(*process(world, point)))
    done = n if when is When.AFTER else n - 1
    assert point.count == n
    assert (len(world.servers()), len(world.installed())) == (done >= 2, done >= 3)


async def every_call_fails(provider: Provider, runner: Runner) -> int:
    target = Target("upcloud", "upcloud-000001", "web", "")
    calls: list[Callable[[], Awaitable[object]]] = [
        provider.open,
        provider.health,
        provider.account,
        provider.quota,
        lambda: provider.quota_after([]),
        lambda: provider.quote([]),
        lambda: provider.resolve([]),
        provider.find,
        lambda: provider.describe([]),
        lambda: provider.create(WEB, TOKEN),
        lambda: provider.destroy("upcloud-000001"),
        lambda: runner.install(REDIS, target),
        lambda: runner.remove(REDIS, target),
        provider.aclose,
    ]
    for call in calls:
        with pytest.raises(ProcessDied):
            await call()
    with pytest.raises(ProcessDied):
        provider.validate(ServerConfig("web", "1xCPU-2GB", "de-fra1"))
    return len(calls)


def test_the_dead_do_nothing() -> None:
    async def scenario() -> None:
        world, point = World(), CrashPoint(1)
        provider, runner = process(world, point)
        assert await every_call_fails(provider, runner) == 14
        assert (world.servers(), point.count) == ([], 1)

    run_virtual(scenario())


def test_what_was_under_way_takes_effect_but_is_not_heard() -> None:
    async def scenario() -> None:
        world, point = World(), CrashPoint(2)
        provider, _ = process(world, point, answer_seconds=5)
        creating = asyncio.ensure_future(provider.create(WEB, TOKEN))
        await CLOCK.sleep(1)
        with pytest.raises(ProcessDied):
            await provider.find("run1")
        with pytest.raises(ProcessDied):
            await creating
        assert len(world.servers()) == 1

    run_virtual(scenario())


def test_an_error_is_not_heard_by_the_dead_and_death_after_it_is_death() -> None:
    async def scenario() -> None:
        for when in When:
            provider, _ = process(World(), CrashPoint(1, when), read_errors=1)
            with pytest.raises(ProcessDied):
                await provider.find("run1")

    run_virtual(scenario())


def test_nothing_that_catches_errors_catches_death() -> None:
    assert not issubclass(ProcessDied, Exception)
