"""Faults of the simulated provider: each does what it says, in virtual time, and the same again for the same seed."""

from __future__ import annotations

import asyncio
from statistics import median

import pytest

from batchwright.app.system_clock import SystemClock
from batchwright.errors import ProviderUnavailable
from batchwright.model.call_outcome import Created, Going, Gone, Rejected, ServerState, Unknown
from batchwright.model.fault import FaultClass
from batchwright.model.ids import Token
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.simulated import Simulated, Simulation, World
from batchwright.testing.virtual_clock import VirtualClock, run_virtual

CLOCK = VirtualClock()


def cloud(world: World, name: str = "upcloud", **settings: str | float) -> Simulated:
    return Simulated(name, world, CLOCK, Simulation.instant(**settings))


def request(name: str = "web-01", zone: str = "de-fra1") -> ServerRequest:
    return ServerRequest(name, "1xCPU-2GB", zone)


def token(value: str = "t1", run: str = "run1") -> Token:
    return Token(run, value)


def kind(answer: object) -> FaultClass:
    assert isinstance(answer, Rejected), answer
    return answer.fault.kind


async def look(provider: Simulated, ref: str) -> ServerState:
    return (await provider.describe([ref]))[ref].state


def test_instant_is_ready_at_once_without_awaiting() -> None:
    create = Simulated("upcloud", World(), SystemClock(), Simulation.instant()).create(request(), token())
    with pytest.raises(StopIteration) as ended:
        create.send(None)  # it ends at its first step
    assert ended.value.value == Created("upcloud-000001", ready=True, address="198.18.0.1")


def test_a_lost_answer_leaves_a_server_behind() -> None:
    async def scenario() -> None:
        world = World()
        provider = cloud(world, fail="web-01=lost_answers:1")
        assert isinstance(await provider.create(request(), token()), Unknown)
        assert [o.token for o in await provider.find("run1")] == ["t1"]
        assert isinstance(await provider.create(request(), token()), Created), "the second attempt is answered"
        assert world.duplicates() == {"t1": 2}

    run_virtual(scenario())


def test_a_late_commit_comes_to_be_without_the_client() -> None:
    async def scenario() -> None:
        world = World()
        provider = cloud(world, fail="web-01=late_commits:1", late_min=4, late_max=5, list_lag=2)
        start = CLOCK.now()
        task = asyncio.ensure_future(provider.create(request(), token()))
        await asyncio.sleep(0)
        task.cancel()  # the client is gone; the request is not
        assert world.servers(CLOCK.now()) == []
        await CLOCK.sleep(5)
        (server,) = world.servers(CLOCK.now())
        assert 4 <= server.committed_at - start <= 5
        assert await provider.find("run1") == []
        assert await look(provider, server.ref) is ServerState.NOT_VISIBLE
        await CLOCK.sleep(start + provider.capabilities.settle_seconds - CLOCK.now())
        assert [o.ref for o in await provider.find("run1")] == [server.ref]

    run_virtual(scenario())


def test_list_lag_hides_what_was_answered() -> None:
    async def scenario() -> None:
        provider = cloud(World(), list_lag=3)
        made = await provider.create(request(), token())
        assert isinstance(made, Created)
        await CLOCK.sleep(2.9)
        assert await look(provider, made.ref) is ServerState.NOT_VISIBLE
        await CLOCK.sleep(0.2)
        assert await look(provider, made.ref) is ServerState.READY

    run_virtual(scenario())


def test_boot_and_destroy_take_their_time_and_end_by_themselves() -> None:
    async def scenario() -> None:
        provider = cloud(World(), boot_seconds=10, destroy_seconds=4, spread=0)
        made = await provider.create(request(), token())
        assert made == Created("upcloud-000001")
        assert await look(provider, made.ref) is ServerState.STARTING
        await CLOCK.sleep(10)
        assert await look(provider, made.ref) is ServerState.READY
        assert isinstance(await provider.destroy(made.ref), Going)
        assert await look(provider, made.ref) is ServerState.STOPPING
        await CLOCK.sleep(2)
        assert isinstance(await provider.destroy(made.ref), Going), "asking again does not begin it anew"
        await CLOCK.sleep(2)
        assert await look(provider, made.ref) is ServerState.GONE
        assert await provider.destroy(made.ref) == Gone()

    run_virtual(scenario())


@pytest.mark.parametrize(("effect", "state"), [("never_ready", ServerState.STARTING), ("broken", ServerState.BROKEN)])
def test_a_server_that_does_not_become_ready_and_its_replacement_that_does(effect: str, state: ServerState) -> None:
    async def scenario() -> None:
        provider = cloud(World(), fail=f"web-01={effect}:1")
        made = await provider.create(request(), token("generation1"))
        assert isinstance(made, Created)
        assert not made.ready
        await CLOCK.sleep(100_000)
        seen = (await provider.describe([made.ref]))[made.ref]
        assert seen.state is state
        assert (seen.fault is not None) == (effect == "broken")
        again = await provider.create(request(), token("generation2"))
        assert isinstance(again, Created)
        assert again.ready

    run_virtual(scenario())


@pytest.mark.parametrize("effect", ["transient", "throttle", "busy", "capacity", "quota", "billing", "auth", "invalid"])
def test_a_refusal_has_its_class_and_makes_nothing(effect: str) -> None:
    async def scenario() -> None:
        world = World()
        answer = await cloud(world, fail=f"web-01={effect}").create(request(), token())
        assert kind(answer) == effect
        assert isinstance(answer, Rejected)
        assert (answer.fault.retry_after is not None) == (effect == "throttle")
        assert world.servers() == []

    run_virtual(scenario())


def test_fail_without_an_effect_is_permanent() -> None:
    async def scenario() -> None:
        provider = cloud(World(), fail="web-02")
        assert kind(await provider.create(request("web-02"), token())) is FaultClass.PERMANENT
        assert isinstance(await provider.create(request("web-01"), token()), Created)

    run_virtual(scenario())


def test_faults_of_destroy() -> None:
    async def scenario() -> None:
        world = World()
        provider = cloud(world, fail_destroy="web-01=permanent:1,web-01=lost_answers:2")
        await provider.create(request(), token())
        assert kind(await provider.destroy("upcloud-000001")) is FaultClass.PERMANENT
        assert len(world.servers()) == 1
        assert isinstance(await provider.destroy("upcloud-000001"), Unknown)
        assert world.servers() == []
        assert await provider.destroy("upcloud-000001") == Gone()

    run_virtual(scenario())


def test_a_read_that_is_not_answered_raises() -> None:
    async def scenario() -> None:
        provider = cloud(World(), read_errors=1)
        for read in (provider.find("run1"), provider.describe(["x"]), provider.quota(), provider.quota_after([])):
            with pytest.raises(ProviderUnavailable, match="was not answered"):
                await read

    run_virtual(scenario())


def test_bad_credentials_spoil_everything_and_are_seen_by_health() -> None:
    async def scenario() -> None:
        provider = cloud(World(), auth="wrong")
        await provider.open()
        assert not (await provider.health()).ok
        assert kind(await provider.create(request(), token())) is FaultClass.AUTH
        assert kind(await provider.destroy("upcloud-000001")) is FaultClass.AUTH
        with pytest.raises(ProviderUnavailable, match="credentials"):
            await provider.find()

    run_virtual(scenario())


CHANCES = {"transient": 0.2, "lost_answers": 0.2, "late_commits": 0.1, "never_ready": 0.1, "throttle": 0.1}


async def fates(provider: Simulated, names: list[str], run: str = "run1") -> dict[str, list[str]]:
    """What three attempts at each name come to."""
    met: dict[str, list[str]] = {name: [] for name in names}
    for _ in range(3):
        for name in names:
            answer = await provider.create(request(name), token(name, run))
            met[name].append(str(answer.fault.kind) if isinstance(answer, Rejected) else type(answer).__name__)
    return met


def test_draws_do_not_depend_on_order_or_run() -> None:
    async def scenario() -> None:
        names = [f"web-{n}" for n in range(40)]
        first = await fates(cloud(World(), seed=7, **CHANCES), names)
        assert await fates(cloud(World(), seed=7, **CHANCES), names[::-1], run="run2") == first
        assert await fates(cloud(World(), seed=8, **CHANCES), names) != first
        assert await fates(cloud(World(), name="aws2", seed=7, **CHANCES), names) != first
        seen = {fate for three in first.values() for fate in three}
        assert seen == {"transient", "throttle", "Created", "Unknown"}

    run_virtual(scenario())


def test_a_new_client_of_the_same_world_goes_on_where_the_old_one_died() -> None:
    async def scenario() -> None:
        names, one, two = [f"web-{n}" for n in range(30)], World(), World()
        whole = await fates(cloud(one, **CHANCES), names)
        cut: dict[str, list[str]] = {name: [] for name in names}
        for _ in range(3):
            for name in names:
                answer = await cloud(two, **CHANCES).create(request(name), token(name))  # a new process for each call
                cut[name].append(str(answer.fault.kind) if isinstance(answer, Rejected) else type(answer).__name__)
        assert cut == whole

    run_virtual(scenario())


def test_latencies_have_the_median_that_was_asked_for() -> None:
    async def scenario() -> None:
        provider = cloud(World(), answer_seconds=2, spread=0.5)
        took = []
        for n in range(400):
            start = CLOCK.now()
            await provider.create(request(f"web-{n}"), token(f"t{n}"))
            took.append(CLOCK.now() - start)
        assert 1.8 < median(took) < 2.2
        assert min(took) < 1 < 4 < max(took)

    run_virtual(scenario())


def test_chances_come_about_as_often_as_they_say() -> None:
    async def scenario() -> None:
        provider = cloud(World(), lost_answers=0.25)
        answers = [await provider.create(request(f"web-{n}"), token(f"t{n}")) for n in range(1000)]
        assert 200 < sum(isinstance(answer, Unknown) for answer in answers) < 300

    run_virtual(scenario())
