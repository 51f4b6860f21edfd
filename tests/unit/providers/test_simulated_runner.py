"""Task services on simulated servers: latencies, faults, and servers that are not there or not ready."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from batchwright.commands.base import Launch
from batchwright.model.call_outcome import Applied, Created, Rejected, Unknown
from batchwright.model.fault import FaultClass
from batchwright.model.ids import Token
from batchwright.model.taskserv import Taskserv
from batchwright.operations.command import CommandRequest
from batchwright.operations.server_batch import ServerRequest
from batchwright.operations.taskserv_batch import TaskservRequest
from batchwright.providers.simulated import Simulated, SimulatedLauncher, SimulatedRunner, Simulation, World
from batchwright.taskservs.base import Target
from batchwright.testing.virtual_clock import VirtualClock, run_virtual

CLOCK = VirtualClock()
REDIS, NEWER, KUBERNETES = (
    TaskservRequest("redis", "7.2", "aws"),
    TaskservRequest("redis", "7.4", "aws"),
    TaskservRequest("kubernetes", "1.31", "aws"),
)


async def servers(world: World, *names: str, **settings: str | float) -> list[Target]:
    provider = Simulated("upcloud", world, CLOCK, Simulation.instant(**settings))
    targets = []
    for name in names:
        made = await provider.create(ServerRequest(name, "1xCPU-2GB", "de-fra1"), Token("run1", name))
        assert isinstance(made, Created)
        targets.append(Target("upcloud", made.ref, name, made.address))
    return targets


def kind(answer: object) -> FaultClass:
    assert isinstance(answer, Rejected), answer
    return answer.fault.kind


def test_another_version_is_a_change() -> None:
    async def scenario() -> None:
        world = World()
        (web,) = await servers(world, "web")
        runner = SimulatedRunner(world, CLOCK, Simulation.instant())
        for request, changed in ((REDIS, True), (REDIS, False), (NEWER, True)):
            assert await runner.install(request, web) == Applied(changed)
        assert world.installed() == {web.ref: {"redis": "7.4"}}

    run_virtual(scenario())


def test_an_install_takes_its_time() -> None:
    async def scenario() -> None:
        world = World()
        (web,) = await servers(world, "web")
        start = CLOCK.now()
        await SimulatedRunner(world, CLOCK, Simulation(install_seconds=8, spread=0)).install(REDIS, web)
        assert CLOCK.now() - start == 8

    run_virtual(scenario())


def test_a_lost_answer_took_effect() -> None:
    async def scenario() -> None:
        world = World()
        (web,) = await servers(world, "web")
        sim = Simulation.instant(fail_taskserv="redis=lost_answers:1", fail_remove="redis=lost_answers:1")
        runner = SimulatedRunner(world, CLOCK, sim)
        assert isinstance(await runner.install(REDIS, web), Unknown)
        assert world.installed() == {web.ref: {"redis": "7.2"}}
        assert await runner.install(REDIS, web) == Applied(False)
        assert isinstance(await runner.remove(REDIS, web), Unknown)
        assert world.installed() == {}
        assert await runner.remove(REDIS, web) == Applied(False)

    run_virtual(scenario())


def test_faults_can_be_for_a_task_service_everywhere_or_on_one_server() -> None:
    async def scenario() -> None:
        world = World()
        one, two = await servers(world, "web-01", "web-02")
        runner = SimulatedRunner(
            world,
            CLOCK,
            Simulation.instant(fail_taskserv="redis@web-02=transient:1,kubernetes", fail_remove="*@web-01"),
        )
        assert await runner.install(REDIS, one) == Applied()
        assert kind(await runner.install(REDIS, two)) is FaultClass.TRANSIENT
        assert await runner.install(REDIS, two) == Applied()
        for target in (one, two):
            assert kind(await runner.install(KUBERNETES, target)) is FaultClass.PERMANENT
        assert kind(await runner.remove(REDIS, one)) is FaultClass.PERMANENT
        assert await runner.remove(REDIS, two) == Applied()
        assert world.installed() == {one.ref: {"redis": "7.2"}}

    run_virtual(scenario())


@pytest.mark.parametrize("settings", [{"boot_seconds": 60.0}, {"fail": "web=broken"}, {"fail": "web=never_ready"}])
def test_a_server_that_is_not_ready_is_refused(settings: dict[str, str | float]) -> None:
    async def scenario() -> None:
        world = World()
        (web,) = await servers(world, "web", **settings)
        runner = SimulatedRunner(world, CLOCK, Simulation.instant())
        assert kind(await runner.install(REDIS, web)) is FaultClass.NOT_FOUND
        assert world.installed() == {}

    run_virtual(scenario())


def test_a_server_that_is_destroyed_meanwhile_is_refused() -> None:
    async def scenario() -> None:
        world = World()
        (web,) = await servers(world, "web")
        runner = SimulatedRunner(world, CLOCK, Simulation(install_seconds=8))

        async def destroy() -> None:
            await CLOCK.sleep(1)
            await Simulated("upcloud", world, CLOCK, Simulation.instant()).destroy(web.ref)

        answer, _ = await asyncio.gather(runner.install(REDIS, web), destroy())
        assert kind(answer) is FaultClass.NOT_FOUND
        assert world.installed() == {}

    run_virtual(scenario())


def test_another_providers_server_is_not_found() -> None:
    async def scenario() -> None:
        world = World()
        (web,) = await servers(world, "web")
        stranger = Target("aws", web.ref, web.name, web.address)
        runner = SimulatedRunner(world, CLOCK, Simulation.instant())
        assert kind(await runner.install(REDIS, stranger)) is FaultClass.NOT_FOUND

    run_virtual(scenario())


@pytest.mark.parametrize(
    ("settings", "values", "said"),
    [
        ({"output": "probe.port:6380"}, {"outputs.probe.port": "6380"}, ""),
        ({"output": "probe.port:70000"}, {"outputs.probe.port": "70000"}, "must be a port from 1 to 65535"),
        ({}, {"outputs.probe.port": "simulated-port"}, ""),  # made up: nobody said that it is a port
    ],
)
def test_values_that_are_known_are_compared_with_the_catalogue(
    settings: dict[str, str], values: dict[str, str], said: str
) -> None:
    entry = msgspec.convert(
        {
            "name": "redis",
            "version": "7.2",
            "summary": "x",
            "seconds": 1,
            "variables": {"port": {"type": "port", "summary": "x"}},
        },
        Taskserv,
    )
    port = "${outputs.probe.port}"
    request = TaskservRequest(
        "redis", "7.2", "aws", {"port": port}, references=("outputs.probe.port",), values=dict(values)
    )

    async def scenario() -> None:
        world = World()
        (web,) = await servers(world, "web")
        runner = SimulatedRunner(world, CLOCK, Simulation.instant(**settings), lambda: {"redis": entry})
        answer = await runner.install(request, web)
        if not said:
            assert answer == Applied(True)
            return
        assert isinstance(answer, Rejected)
        assert said in answer.fault.message
        assert answer.fault.code == "variable-value"
        assert world.installed() == {}

    run_virtual(scenario())


def test_a_command_gives_what_the_settings_say() -> None:
    async def scenario() -> None:
        launcher = SimulatedLauncher(World(), CLOCK, Simulation.instant(output="probe.port:6380, other.size:1"))
        request = CommandRequest("x", run=("x",), outputs=("port", "size"))
        given = await launcher.launch(request, Launch("run", "probe/run", "mark"))
        assert given == Applied(outputs={"port": "6380", "size": "simulated-size"})

    run_virtual(scenario())
