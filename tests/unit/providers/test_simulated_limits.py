"""Limits of the simulated provider: quota, capacity, rate, guards; what it offers and what that costs."""

from __future__ import annotations

import pytest

from batchwright.model.call_outcome import Created, Rejected
from batchwright.model.fault import FaultClass
from batchwright.model.ids import Token
from batchwright.model.workflow import ServerConfig
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.base import Quota, Quote
from batchwright.providers.simulated import Simulated, Simulation, World
from batchwright.testing.virtual_clock import VirtualClock, run_virtual

CLOCK = VirtualClock()


def cloud(world: World, name: str = "upcloud", **settings: str | float) -> Simulated:
    return Simulated(name, world, CLOCK, Simulation.instant(**settings))


def request(name: str = "web-01", zone: str = "de-fra1") -> ServerRequest:
    return ServerRequest(name, "1xCPU-2GB", zone)


async def kinds(provider: Simulated, requests: list[ServerRequest]) -> list[str]:
    answers = [await provider.create(r, Token("run1", f"t{n}")) for n, r in enumerate(requests)]
    return [str(a.fault.kind) if isinstance(a, Rejected) else "created" for a in answers]


def test_quota_counts_what_is_alive_in_the_account() -> None:
    async def scenario() -> None:
        world = World()
        provider, other = cloud(world, quota_servers=2), cloud(world, "aws")
        await other.create(ServerRequest("web-01", "t3.micro", "eu-west-1"), Token("run1", "elsewhere"))
        assert await kinds(provider, [request("a"), request("b"), request("c")]) == ["created", "created", "quota"]
        assert await provider.quota() == Quota({"servers": (2, 2)})
        await provider.destroy("upcloud-000002")
        assert await kinds(provider, [request("c")]) == ["created"]
        assert (await other.quota()).usage == {}

    run_virtual(scenario())


def test_quota_after_tells_before_anything_is_made() -> None:
    async def scenario() -> None:
        provider = cloud(World(), quota_servers=3)
        await kinds(provider, [request("a")])
        assert await provider.quota_after([request("b"), request("c")]) == []
        (problem,) = await provider.quota_after([request("b"), request("c"), request("d")])
        assert (problem.code, problem.field) == ("quota", "")
        assert "may have 3 servers: 1 exist, 3 more" in problem.message

    run_virtual(scenario())


def test_capacity_is_per_zone() -> None:
    async def scenario() -> None:
        provider = cloud(World(), capacity=1)
        wanted = [request("a"), request("b"), request("c", "us-nyc1")]
        (problem,) = await provider.quota_after(wanted)
        assert (problem.code, problem.field) == ("capacity", "zone")
        assert "de-fra1" in problem.message
        assert await kinds(provider, wanted) == ["created", "capacity", "created"]

    run_virtual(scenario())


def test_the_rate_allows_a_burst_and_says_how_long_to_wait() -> None:
    async def scenario() -> None:
        provider = cloud(World(), rate=2, burst=3)
        answers = [await provider.create(request(f"w{n}"), Token("run1", f"t{n}")) for n in range(4)]
        assert [isinstance(answer, Created) for answer in answers] == [True, True, True, False]
        refused = answers[3]
        assert isinstance(refused, Rejected)
        assert refused.fault.kind is FaultClass.THROTTLE
        assert refused.fault.retry_after == pytest.approx(0.5)
        await CLOCK.sleep(refused.fault.retry_after)
        assert await kinds(provider, [request("w5"), request("w6")]) == ["created", "throttle"]

    run_virtual(scenario())


def test_who_keeps_to_the_rate_is_never_refused() -> None:
    async def scenario() -> None:
        provider = cloud(World(), rate=10, burst=1)
        for n in range(50):
            assert await kinds(provider, [request(f"w{n}")]) == ["created"]
            await CLOCK.sleep(0.1)

    run_virtual(scenario())


def test_the_rate_is_told_only_when_asked_to() -> None:
    assert (cloud(World(), rate=2, burst=3).capabilities.rate, cloud(World()).capabilities.rate) == (0, 0)
    told = cloud(World(), rate=2, burst=3, publish_rate=True).capabilities
    assert (told.rate, told.burst, told.destroy_rate) == (2, 3, None)
    assert cloud(World(), rate=2, destroy_rate=4, publish_rate=True).capabilities.destroy_rate == 4


@pytest.mark.parametrize("destroy_rate", [0, 1])
def test_destroys_count_with_creates_unless_they_have_a_rate_of_their_own(destroy_rate: float) -> None:
    async def scenario() -> None:
        provider = cloud(World(), rate=1, burst=2, destroy_rate=destroy_rate)
        assert await kinds(provider, [request("a"), request("b"), request("c")]) == ["created", "created", "throttle"]
        refused = isinstance(await provider.destroy("upcloud-000001"), Rejected)
        assert refused is (destroy_rate == 0)

    run_virtual(scenario())


def test_a_token_is_good_for_one_request_and_one_life() -> None:
    async def scenario() -> None:
        provider = cloud(World(), guard="token", fail="web-01=lost_answers:1")
        token = Token("run1", "t1")
        await provider.create(request(), token)
        assert await provider.create(request(), token) == Created("upcloud-000001")
        for changed in (request("web-02"), request(zone="us-nyc1")):
            refused = await provider.create(changed, token)
            assert isinstance(refused, Rejected)
            assert refused.fault.kind is FaultClass.CONFLICT
        await provider.destroy("upcloud-000001")
        assert isinstance(await provider.create(request(), token), Rejected), "its server was destroyed"
        assert isinstance(await provider.create(request(), Token("run1", "t2")), Created)

    run_virtual(scenario())


def test_a_name_is_free_again_when_its_server_is_gone() -> None:
    async def scenario() -> None:
        provider = cloud(World(), guard="unique_name")
        assert await kinds(provider, [request(), request()]) == ["created", "conflict"]
        await provider.destroy("upcloud-000001")
        assert await kinds(provider, [request()]) == ["created"]

    run_virtual(scenario())


@pytest.mark.parametrize(
    ("provider", "config", "field", "hint"),
    [
        ("upcloud", ServerConfig("w", "1xCPU-2 GB", "de-fra1"), "plan", 'Did you mean "1xCPU-2GB"?'),
        ("upcloud", ServerConfig("w", "2xCPU-4G", "de-fra1"), "plan", 'Did you mean "2xCPU-4GB"?'),
        ("upcloud", ServerConfig("w", "1xCPU-2GB", "de-fr1"), "zone", 'Did you mean "de-fra1"?'),
        ("upcloud", ServerConfig("w", "1xCPU-2GB", "de-fra1", "debian12"), "image", 'Did you mean "debian-12"?'),
        ("aws", ServerConfig("w", "t3.medum", "eu-central-1"), "plan", 'Did you mean "t3.medium"?'),
        ("simulated", ServerConfig("w", "small", "q"), "zone", "Available: zone-a, zone-b, zone-c"),
    ],
)
def test_what_is_not_offered_is_named_with_what_is(provider: str, config: ServerConfig, field: str, hint: str) -> None:
    (problem,) = cloud(World(), provider).validate(config)
    assert (problem.field, problem.code, problem.hint) == (field, f"unknown-{field}", hint)


def test_every_mistake_of_a_configuration_is_told() -> None:
    problems = cloud(World()).validate(ServerConfig("w", "huge", "moon", "dos"))
    assert [problem.field for problem in problems] == ["plan", "zone", "image"]


def test_other_names_take_anything() -> None:
    assert cloud(World(), "mycloud").validate(ServerConfig("w", "any", "where", "what")) == []


def test_resolve_finds_the_image_and_quote_the_price() -> None:
    async def scenario() -> None:
        provider = cloud(World())
        (resolved,) = await provider.resolve([ServerConfig("w", "1xCPU-2GB", "de-fra1", labels={"a": "b"})])
        assert isinstance(resolved, ServerRequest)
        assert (resolved.image, resolved.labels) == ("debian-12", {"a": "b"})
        assert resolved.resolved == {"image_id": "01000000-0000-4000-8000-000020070100"}
        assert await provider.quote([resolved] * 10) == Quote(0.193, "EUR")
        assert await provider.quote([]) == Quote(0, "EUR")
        assert await cloud(World(), "mycloud").quote([resolved]) is None

    run_virtual(scenario())
