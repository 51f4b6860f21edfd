"""Commands on their way to the ports: what is sent, what is reported, and that every permit comes back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from batchwright.engine import effects, reports
from batchwright.engine.limits import CallClass, Lane
from batchwright.errors import LeaseLost
from batchwright.model import events as ev
from batchwright.model.call_outcome import Applied, Created, Gone, Rejected, Unknown
from batchwright.model.fault import FaultClass
from tests.unit.engine.bench import Bench, in_doubt, made, rolling_back, staged
from tests.unit.engine.hand import fault, refusal
from tests.unit.engine.scripted import broken, gone_astray, silence, too_often

# -- creates ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        (lambda: Created("r1"), Created("r1")),
        (lambda: refusal(FaultClass.CAPACITY), refusal(FaultClass.CAPACITY)),
        (lambda: Unknown("502"), Unknown("502")),
        (broken, Unknown("ConnectionResetError: the connection was reset")),
        (silence, Unknown("no answer within 60 s")),
        (gone_astray, Unknown("the call was cancelled")),
    ],
)
def test_a_create_is_sent_once_and_whatever_is_not_an_answer_is_unknown(answer: Any, wanted: object) -> None:
    async def play(bench: Bench) -> None:
        bench.provider.script.next["create"] = [answer]
        bench.start()
        assert await bench.perform(effects.DoStep(0, 1)) == [reports.CallReport(0, 1, wanted)]  # type: ignore[arg-type]

    bench = staged(play)
    assert bench.provider.script.asked == [("create", bench.run.token(0))]
    assert not bench.errors


def replacing(bench: Bench) -> None:
    """A second attempt, after a first server that was no good."""
    now = bench.clock.now()
    bench.start()
    bench.happen(ev.StepCreated(now, "up/a", "s1"))
    bench.happen(ev.StepRetrying(now, "up/a", 1, now, fault(FaultClass.TIMEOUT), replace=True))
    bench.start(attempt=2)


def test_what_is_replaced_is_gone_before_anything_new_is_made() -> None:
    async def play(bench: Bench) -> None:
        bench.plant("s1")
        replacing(bench)
        (report,) = await bench.perform(effects.DoStep(0, 2))
        assert isinstance(report, reports.CallReport)
        assert isinstance(report.outcome, Created)

    bench = staged(play)
    assert next(name for name, _ in bench.provider.script.asked if name != "describe") == "destroy"
    assert bench.provider.script.asked[-1] == ("create", bench.run.token(0))
    assert [server.ref for server in bench.world.servers()] != ["s1"]


@pytest.mark.parametrize("method", ["describe", "destroy"])
@pytest.mark.parametrize("trouble", [broken, silence, gone_astray])
def test_trouble_while_replacing_is_a_refusal_to_retry_and_nothing_is_made(method: str, trouble: Any) -> None:
    async def play(bench: Bench) -> None:
        bench.plant("s1")
        bench.provider.script.always[method] = trouble
        replacing(bench)
        (report,) = await bench.perform(effects.DoStep(0, 2))
        assert isinstance(report, reports.CallReport)
        assert report.outcome.fault.kind in (FaultClass.TRANSIENT, FaultClass.TIMEOUT)  # type: ignore[union-attr]

    bench = staged(play)
    assert bench.provider.script.count("create") == 0
    assert not bench.errors


def test_a_server_that_is_someone_elses_by_now_is_not_replaced() -> None:
    async def play(bench: Bench) -> None:
        bench.plant("s1", run="another")
        replacing(bench)
        (report,) = await bench.perform(effects.DoStep(0, 2))
        assert report.outcome.fault.kind is FaultClass.CONFLICT  # type: ignore[union-attr]

    bench = staged(play)
    assert (bench.provider.script.count("create"), bench.provider.script.count("destroy")) == (0, 0)


# -- settling -----------------------------------------------------------------------------------------------------


def test_a_label_is_looked_for_until_the_settle_time_has_passed_and_nothing_is_sent() -> None:
    async def play(bench: Bench) -> None:
        in_doubt(bench)
        assert await bench.perform(effects.Settle(0, 1)) == [reports.SettleReport(0, 1, None)]

    bench = staged(play, list_lag=8.0)
    assert bench.took >= bench.provider.capabilities.settle_seconds
    assert {name for name, _ in bench.provider.script.asked} == {"find"}


def test_a_token_is_sent_again_and_its_answer_counts() -> None:
    async def play(bench: Bench) -> None:
        in_doubt(bench)
        bench.plant("s1", token=bench.run.token(0)).request = bench.run.plan.steps[0].request  # type: ignore[assignment]
        assert await bench.perform(effects.Settle(0, 1)) == [reports.CallReport(0, 1, Created("s1"))]

    bench = staged(play, guard="token")
    assert bench.provider.script.asked == [("create", bench.run.token(0))]


@pytest.mark.parametrize("answer", [silence, broken])
def test_a_token_sent_again_without_an_answer_is_looked_for_from_then_on(answer: Any) -> None:
    async def play(bench: Bench) -> None:
        in_doubt(bench)
        bench.provider.script.next["create"] = [answer]
        token, began = bench.run.token(0), bench.clock.now()
        looking = asyncio.ensure_future(bench.perform(effects.Settle(0, 1)))
        while bench.provider.script.count("find") == 0:
            await bench.clock.sleep(0.1)
        resent = bench.clock.now() - began
        late = bench.plant("s1", token=token, visible=bench.provider.capabilities.settle_seconds * 0.9)
        (report,) = await looking
        assert isinstance(report, reports.SettleReport)
        assert report.found is not None, f"what took effect late, after {resent} s, is found"
        assert report.found.ref == late.ref

    staged(play, guard="token", list_lag=8.0)


def test_looking_first_sends_nothing_and_keeps_no_permit() -> None:
    async def play(bench: Bench) -> None:
        in_doubt(bench)
        bench.plant("s1", token=bench.run.token(0))
        command = effects.DoStep(0, 1, look_first=True)
        bench.performer.admit(command)
        bench.performer.perform(command)
        await asyncio.sleep(0)
        assert bench.limits.lanes["upcloud"].in_flight == 0
        await bench.clock.sleep(5.0)
        (report,) = bench.said
        assert isinstance(report, reports.SettleReport)
        assert report.found is not None

    assert staged(play).provider.script.count("create") == 0


@pytest.mark.parametrize("look_first", [False, True])
def test_what_is_sent_again_to_settle_a_doubt_takes_a_permit_of_the_creates(look_first: bool) -> None:
    async def play(bench: Bench) -> None:
        lane = bench.limits.lanes["upcloud"] = Lane(5, 0.5, 1, 100.0, 100)
        in_doubt(bench)
        if not look_first:  # its own permit was given back when the call was in doubt
            bench.limits.take("upcloud", CallClass.CREATE)
            bench.limits.release("upcloud", CallClass.CREATE)
        began, sent = bench.clock.now(), []

        async def sending() -> Created:
            sent.append(bench.clock.now() - began)
            assert (lane.in_flight, lane.available(CallClass.CREATE, bench.clock.now())) == (1, 0)
            return Created("r1")

        bench.provider.script.always["create"] = sending
        command = effects.DoStep(0, 1, look_first=True) if look_first else effects.Settle(0, 1)
        assert await bench.perform(command) == [reports.CallReport(0, 1, Created("r1"))]
        assert sent == [pytest.approx(0.0 if look_first else 2.0, abs=0.01)]

    staged(play, guard="token")


def test_to_destroy_what_is_replaced_counts_as_a_destroy() -> None:
    async def play(bench: Bench) -> None:
        lane = bench.limits.lanes["upcloud"] = Lane(1, 5.0, 5)
        bench.start()
        bench.run.record("up/a").stale = bench.plant("s0").ref
        bench.provider.script.next["destroy"] = [Gone]
        await bench.perform(effects.DoStep(0, 1))
        assert [bucket.tokens for bucket in lane.buckets.values()] == [4.0, 4.0]

    script = staged(play).provider.script
    assert (script.count("destroy"), script.count("create")) == (1, 1)


# -- installs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        (Applied, Applied()),
        (lambda: refusal(FaultClass.INVALID), refusal(FaultClass.INVALID)),
        (broken, Unknown("ConnectionResetError: the connection was reset")),
        (silence, Unknown("no answer within 75 s")),
        (gone_astray, Unknown("the call was cancelled")),
    ],
)
def test_an_install_is_asked_of_the_runner_of_its_servers_provider(answer: Any, wanted: object) -> None:
    async def play(bench: Bench) -> None:
        made(bench)
        bench.start("svc/a/redis")
        bench.runner.script.next["install"] = [answer]
        i = bench.run.step("svc/a/redis")
        assert await bench.perform(effects.DoStep(i, 1)) == [reports.CallReport(i, 1, wanted)]  # type: ignore[arg-type]

    ((_, target),) = staged(play).runner.script.asked
    assert (target.provider, target.ref, target.name, target.address) == ("upcloud", "s1", "a", "addr")


@pytest.mark.parametrize("step", ["up/a", "svc/a/redis"])
def test_a_throttle_answer_slows_its_lane(step: str) -> None:
    async def play(bench: Bench) -> None:
        throttle = refusal(FaultClass.THROTTLE, retry_after=7.0)
        bench.provider.script.next["create"] = bench.runner.script.next["install"] = [lambda: throttle]
        if step != "up/a":
            made(bench)
        bench.start(step)
        i = bench.run.step(step)
        await bench.perform(effects.DoStep(i, 1))
        lane = bench.limits.lanes[bench.run.lane(i)]
        assert lane.available(CallClass.CREATE, bench.clock.now()) == 0
        assert lane.available(CallClass.DESTROY, bench.clock.now()) > 0, "what undoes something is counted apart"
        assert lane.available(CallClass.CREATE, bench.clock.now() + 7.5) > 0

    staged(play)


# -- the run is no longer ours --------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["create", "settle", "install", "destroy", "remove", "stray"])
def test_nothing_that_changes_anything_is_sent_by_a_driver_that_lost_its_run(what: str) -> None:
    async def play(bench: Bench) -> None:
        bench.ours = False
        made(bench, step="up/b")
        service = bench.run.step("svc/b/redis")
        if what in ("destroy", "remove"):
            rolling_back(bench, "up/b", "svc/b/redis")
        elif what == "settle":
            in_doubt(bench)
        else:
            bench.start("svc/b/redis" if what == "install" else "up/a")
        commands: dict[str, effects.Command] = {
            "create": effects.DoStep(0, 1), "settle": effects.Settle(0, 1), "install": effects.DoStep(service, 1),
            "destroy": effects.UndoStep(1, 1), "remove": effects.UndoStep(service, 1),
            "stray": effects.DestroyOrphan("upcloud", "s1"),
        }  # fmt: skip
        bench.performer.admit(commands[what])
        bench.performer.perform(commands[what])
        await bench.clock.sleep(5.0)
        assert [type(error) for error in bench.errors] == [LeaseLost]
        assert not bench.said

    bench = staged(play, guard="token")
    changed = {name for name, _ in bench.provider.script.asked} | {name for name, _ in bench.runner.script.asked}
    assert changed <= {"find", "describe", "access"}


def test_commands_that_were_never_begun_and_calls_cut_off_give_their_permits_back() -> None:
    async def play(bench: Bench) -> None:
        bench.provider.script.always["create"] = silence
        bench.start("up/a")
        bench.start("up/b")
        bench.performer.admit(effects.DoStep(0, 1))
        bench.performer.admit(effects.DoStep(0, 1))
        bench.performer.admit(effects.DoStep(1, 1))
        assert bench.limits.lanes["upcloud"].in_flight == 2, "a command that is carried out twice takes one permit"
        bench.performer.perform(effects.DoStep(0, 1))
        await bench.performer.aclose()
        assert bench.limits.lanes["upcloud"].in_flight == 0

    assert not staged(play).said


def test_a_server_is_waited_for() -> None:
    async def play(bench: Bench) -> None:
        made(bench)
        assert await bench.perform(effects.Await(0, 1, "s1", 1e12)) == [reports.ServerReport(0, 1, "s1", "addr")]

    assert staged(play).provider.script.count("describe") == 1


def test_a_cloud_that_does_not_say_where_a_server_is_slows_itself_and_no_install() -> None:
    async def play(bench: Bench) -> None:
        bench.start()
        bench.happen(ev.StepSucceeded(bench.clock.now(), "up/a", "s1", "addr"))
        bench.plant("s1")
        bench.start("svc/a/redis")
        bench.provider.script.always["access"] = too_often
        (report,) = await bench.perform(effects.DoStep(bench.run.step("svc/a/redis"), 1))
        assert isinstance(report, reports.CallReport)
        assert isinstance(report.outcome, Rejected)
        assert (report.outcome.fault.kind, report.outcome.fault.retry_after) == (FaultClass.THROTTLE, 7.0)
        now = bench.clock.now()
        assert bench.limits.lanes["taskservs"].available(CallClass.CREATE, now) == 5
        assert bench.limits.lanes["upcloud"].available(CallClass.CREATE, now) == 0

    assert staged(play).runner.script.count("install") == 0
