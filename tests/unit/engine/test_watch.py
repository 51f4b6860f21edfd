"""Looking on behalf of many: one listing per tick, failed looks say nothing, nobody waits for another's look."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine
from typing import Any

import pytest

from batchwright.engine import effects, reports
from batchwright.engine.poller import Poller
from batchwright.engine.read_retry import OUTAGE_SECONDS, ReadRetry
from batchwright.errors import ProviderThrottled
from batchwright.model.call_outcome import Observed, ServerState
from batchwright.model.fault import FaultClass
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.simulated import Simulation, World
from batchwright.providers.simulated.world_records import SimulatedServer
from batchwright.testing.virtual_clock import VirtualClock, run_virtual
from tests.unit.engine.scripted import ScriptedProvider, broken, gone_astray, silence, too_often


class Bench:
    """A watch over a world with servers that a test puts there."""

    def __init__(self, **settings: float) -> None:
        self.clock = VirtualClock()
        self.world = World(None)
        self.provider = ScriptedProvider("upcloud", self.world, self.clock, Simulation.from_settings(settings))
        self.said: list[tuple[float, reports.Report]] = []
        self.errors: list[BaseException] = []
        self.began = self.clock.now()
        self.looks = ReadRetry(self.clock)
        self.watch = Poller(self.provider, "run", self.clock, self.looks, self.hear, self.errors.append)

    def hear(self, report: reports.Report) -> None:
        self.said.append((self.clock.now() - self.began, report))

    def plant(self, ref: str, token: str = "", ready: float | None = 0.0, visible: float = 0.0) -> SimulatedServer:
        now, request = self.clock.now(), ServerRequest(ref, "1xCPU-2GB", "de-fra1")
        ready_at = None if ready is None else now + ready
        server = SimulatedServer(
            ref, "upcloud", "simulated-upcloud", "run", token, request, "a", now, now + visible, ready_at
        )
        self.world.plant(server)
        return server

    def wait(self, step: int, ref: str, timeout: float = 100.0) -> None:
        self.watch.wait_for(effects.Await(step, 1, ref, self.clock.now() + timeout))

    def settle(self, step: int, token: str, within: float) -> None:
        self.watch.look_for(effects.Settle(step, 1), token, self.clock.now() + within)

    async def until(self, count: int) -> list[reports.Report]:
        async with asyncio.timeout(100_000):
            while len(self.said) < count:
                await self.clock.sleep(0.5)
        return [report for _, report in self.said]


def staged(play: Any, **settings: float) -> Bench:
    async def main() -> Bench:
        bench = Bench(**settings)
        scene: Coroutine[Any, Any, None] = play(bench)
        await scene
        await bench.watch.aclose()
        return bench

    return run_virtual(main())


def test_a_thousand_servers_cost_one_look_per_tick() -> None:
    async def play(bench: Bench) -> None:
        for i in range(1_000):
            bench.plant(f"s{i}", ready=10.0)
            bench.wait(i, f"s{i}")
        await bench.until(1_000)

    bench = staged(play)
    ticks = 10.0 / bench.provider.capabilities.poll_seconds
    assert bench.provider.script.count("describe") <= ticks + 2
    assert bench.provider.script.count("find") == 0
    assert all(isinstance(r, reports.ServerReport) and r.fault is None and r.address == "a" for _, r in bench.said)


def test_many_doubts_cost_one_listing_per_tick_and_are_found_or_given_up_in_time() -> None:
    async def play(bench: Bench) -> None:
        bench.plant("s1", token="t1", visible=4.0)
        for i in range(1, 101):
            bench.settle(i, f"t{i}", within=8.0)
        await bench.until(100)

    bench = staged(play)
    assert bench.provider.script.count("find") <= 8.0 / bench.provider.capabilities.poll_seconds + 2
    found = {r.step: (at, r.found) for at, r in bench.said if isinstance(r, reports.SettleReport)}
    at, observed = found.pop(1)
    assert 4.0 <= at < 5.5
    assert observed is not None
    assert observed.ref == "s1"
    assert all(seen is None and at >= 8.0 for at, seen in found.values()), "never before the time is up"


def test_a_look_that_began_before_the_time_was_up_proves_nothing() -> None:
    async def slow(bench: Bench) -> list[Observed]:
        await bench.clock.sleep(5.0)
        return []

    async def play(bench: Bench) -> None:
        bench.provider.script.next["find"] = [lambda: slow(bench)]
        bench.settle(1, "t1", within=2.0)
        await bench.until(1)

    bench = staged(play)
    assert bench.provider.script.count("find") == 2


def test_of_two_with_one_token_the_first_is_taken_and_what_is_going_is_not() -> None:
    async def play(bench: Bench) -> None:
        bench.plant("s2", token="t1")
        bench.plant("s3", token="t1")
        bench.plant("s1", token="t1").destroy_requested_at = bench.clock.now()
        bench.settle(1, "t1", within=50.0)
        await bench.until(1)

    (report,) = [r for _, r in staged(play).said]
    assert isinstance(report, reports.SettleReport)
    assert report.found is not None
    assert report.found.ref == "s2"


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("broken", FaultClass.TRANSIENT),
        ("stopping", FaultClass.CONFLICT),
        ("gone", FaultClass.CONFLICT),
        ("never", FaultClass.TIMEOUT),
        ("unseen", FaultClass.TIMEOUT),
    ],
)
def test_why_a_server_is_no_good(state: str, kind: FaultClass) -> None:
    async def play(bench: Bench) -> None:
        if state != "unseen":
            server = bench.plant("s1", ready=None if state == "never" else 0.0)
            server.broken = state == "broken"
            server.destroy_requested_at = bench.clock.now() if state in ("stopping", "gone") else None
            server.gone_at = bench.clock.now() if state == "gone" else None
        bench.wait(1, "s1", timeout=20.0)
        await bench.until(1)

    ((at, report),) = staged(play).said
    assert isinstance(report, reports.ServerReport)
    assert report.fault is not None
    assert report.fault.kind is kind
    assert (at >= 20.0) is (kind is FaultClass.TIMEOUT)


@pytest.mark.parametrize("trouble", [broken, silence, gone_astray])
def test_failed_looks_say_nothing_until_patience_ends(trouble: Any) -> None:
    async def play(bench: Bench) -> None:
        bench.provider.script.always["find"] = trouble
        bench.settle(1, "t1", within=0.0)
        await bench.until(1)

    bench = staged(play)
    ((at, report),) = bench.said
    assert OUTAGE_SECONDS <= at < OUTAGE_SECONDS + 130.0
    assert isinstance(report, reports.SettleReport)
    assert report.fault is not None
    assert report.fault.kind is FaultClass.IN_DOUBT
    assert not bench.errors


def test_a_provider_that_does_not_answer_is_told_until_it_does() -> None:
    told: list[str] = []

    async def play(bench: Bench) -> None:
        bench.provider.script.always["find"] = broken
        bench.settle(1, "t1", within=0.0)
        for _ in range(4):
            told.append(bench.looks.unheard().get("upcloud", ""))
            await bench.clock.sleep(8.0)
        del bench.provider.script.always["find"]
        await bench.until(1)
        told.append(bench.looks.unheard().get("upcloud", ""))

    staged(play)
    assert [words.partition(": ")[0] for words in told] == [
        *("", "", "has not answered for 16 s", "has not answered for 24 s"),
        "",
    ]
    assert told[2].partition(": ")[2]


def test_a_throttled_look_waits_as_long_as_it_was_told_and_ever_longer() -> None:
    times: list[float] = []

    async def play(bench: Bench) -> None:
        def often() -> Any:
            times.append(bench.clock.now() - bench.began)
            return too_often() if len(times) < 8 else []

        bench.provider.script.always["find"] = often
        bench.settle(1, "t1", within=200.0)
        await bench.until(1)

    poll = staged(play).provider.capabilities.poll_seconds
    gaps = [later - earlier for earlier, later in itertools.pairwise(times[:8])]
    wanted = [max(7.0, poll * 2**n) for n in (1, 2, 3, 4, 4, 4, 4)]
    assert all(least <= gap < least + 2 * poll for gap, least in zip(gaps, wanted, strict=True)), gaps
    assert times[9] - times[8] == pytest.approx(poll)


def test_a_throttled_kind_of_look_waits_while_the_other_goes_on() -> None:
    async def play(bench: Bench) -> None:
        bench.provider.script.always["find"] = too_often
        bench.plant("s1", ready=60.0)
        bench.wait(1, "s1")
        bench.settle(2, "t2", within=1.0)
        await bench.until(1)

    script = staged(play).provider.script
    assert script.count("describe") > 5 * script.count("find")
    assert script.count("find") <= 60 / 7 + 1


def test_one_that_asks_for_long_pauses_is_asked_often_enough_all_the_same() -> None:
    def in_a_quarter_of_an_hour() -> Any:
        raise ProviderThrottled("slow down", retry_after=OUTAGE_SECONDS)

    async def play(bench: Bench) -> None:
        bench.provider.script.next["find"] = [in_a_quarter_of_an_hour] * 3
        bench.settle(1, "t1", within=0.0)
        await bench.until(1)

    ((at, report),) = staged(play).said
    assert isinstance(report, reports.SettleReport)
    assert report.fault is None
    assert at >= 3 * OUTAGE_SECONDS


def test_a_server_that_starts_during_an_outage_has_its_time_all_the_same() -> None:
    """E3: the time in which nobody could look is no time in which it was late."""

    async def play(bench: Bench) -> None:
        bench.plant("s1", ready=700.0)
        bench.provider.script.always["describe"] = broken
        bench.wait(1, "s1", timeout=200.0)
        await bench.clock.sleep(600.0)
        del bench.provider.script.always["describe"]
        await bench.until(1)

    ((_, report),) = staged(play).said
    assert isinstance(report, reports.ServerReport)
    assert report.fault is None


def test_one_look_that_works_is_enough_to_be_patient_again() -> None:
    async def play(bench: Bench) -> None:
        bench.plant("s1", token="t1", visible=OUTAGE_SECONDS * 1.5)
        fails_now_and_then = [broken] * 25 + [list] + [broken] * 25
        bench.provider.script.next["find"] = list(fails_now_and_then)
        bench.settle(1, "t1", within=1e6)
        await bench.until(1)

    ((_, report),) = staged(play, boot_seconds=30.0).said
    assert isinstance(report, reports.SettleReport)
    assert report.found is not None


def test_who_asks_after_others_gave_up_is_met_with_the_same_patience() -> None:
    async def play(bench: Bench) -> None:
        bench.provider.script.always["find"] = broken
        bench.settle(1, "t1", within=0.0)
        await bench.until(1)
        await bench.clock.sleep(5_000.0)
        del bench.provider.script.always["find"]
        bench.provider.script.next["find"] = [broken]
        bench.settle(2, "t2", within=0.0)
        await bench.until(2)

    (_, first), (_, second) = staged(play).said
    assert isinstance(first, reports.SettleReport)
    assert isinstance(second, reports.SettleReport)
    assert (first.fault is not None, second.fault) == (True, None)


def test_a_listing_that_keeps_failing_holds_up_nobody_who_waits_for_a_server() -> None:
    async def play(bench: Bench) -> None:
        bench.provider.script.always["find"] = broken
        bench.plant("s1", ready=5.0)
        bench.settle(1, "t1", within=0.0)
        bench.wait(2, "s1")
        await bench.until(1)

    ((at, report),) = staged(play).said
    assert isinstance(report, reports.ServerReport)
    assert report.fault is None
    assert at < 10.0


def test_a_look_that_keeps_failing_tells_only_those_whose_time_is_up() -> None:
    async def play(bench: Bench) -> None:
        bench.provider.script.always["describe"] = broken
        bench.plant("s1")
        bench.plant("s2")
        bench.wait(1, "s1", timeout=10.0)
        bench.wait(2, "s2", timeout=OUTAGE_SECONDS * 3)
        await bench.until(1)
        await bench.clock.sleep(100.0)
        assert len(bench.said) == 1
        del bench.provider.script.always["describe"]
        await bench.until(2)

    (at, late), (_, fine) = staged(play).said
    assert at >= OUTAGE_SECONDS
    assert isinstance(late, reports.ServerReport)
    assert isinstance(fine, reports.ServerReport)
    assert late.fault is not None
    assert (late.step, late.fault.kind, fine.step, fine.fault) == (1, FaultClass.IN_DOUBT, 2, None)


def test_it_begins_again_after_a_rest_and_stops_when_closed() -> None:
    async def play(bench: Bench) -> None:
        bench.plant("s1")
        bench.wait(1, "s1")
        await bench.until(1)
        await bench.clock.sleep(50.0)
        resting = bench.provider.script.count("describe")
        assert resting == 1, "nobody looks while nobody waits"
        bench.plant("s2", ready=None)
        bench.wait(2, "s2")
        await bench.clock.sleep(5.0)
        await bench.watch.aclose()
        after = bench.provider.script.count("describe")
        await bench.clock.sleep(500.0)
        assert bench.provider.script.count("describe") == after

    bench = staged(play)
    assert len(bench.said) == 1
    assert not bench.errors


def test_what_nobody_expects_is_told_and_not_swallowed() -> None:
    class Fatal(BaseException):
        pass

    def fatal() -> Any:
        raise Fatal

    async def play(bench: Bench) -> None:
        bench.provider.script.next["describe"] = [fatal]
        bench.wait(1, "s1")
        await bench.clock.sleep(5.0)

    assert [type(error) for error in staged(play).errors] == [Fatal]


def test_a_server_that_vanishes_before_the_first_look_is_told_long_before_its_time_is_up() -> None:
    """E9."""

    async def play(bench: Bench) -> None:
        bench.wait(1, "s1", timeout=600.0)
        await bench.until(1)

    ((at, report),) = staged(play).said
    assert isinstance(report, reports.ServerReport)
    assert report.fault is not None
    assert report.fault.kind is FaultClass.TRANSIENT
    assert "has not been seen" in report.fault.message
    assert at < 120.0


def test_unseen_is_not_gone() -> None:
    async def play(bench: Bench) -> None:
        bench.plant("s1", visible=30.0)
        bench.wait(1, "s1")
        await bench.until(1)

    ((at, report),) = staged(play).said
    assert isinstance(report, reports.ServerReport)
    assert report.fault is None
    assert at >= 30.0
    assert ServerState.NOT_VISIBLE is not ServerState.GONE
