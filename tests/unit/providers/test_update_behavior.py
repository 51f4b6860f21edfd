"""The steps of a change in place, whatever the cloud."""

from __future__ import annotations

import asyncio

import pytest

from batchwright.model.call_outcome import Going, Rejected, Unknown
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.server_labels import labels_after
from batchwright.providers.server_change import STOP_SECONDS, Power, SentStops, ServerChange
from batchwright.testing.virtual_clock import EPOCH

QUOTA, BUSY, FULL, DENIED, LATER = (
    Rejected(Fault(kind, kind.value))
    for kind in (FaultClass.QUOTA, FaultClass.BUSY, FaultClass.CAPACITY, FaultClass.AUTH, FaultClass.THROTTLE)
)
LOST = Unknown("no answer")
GOING = Going


class Scripted(ServerChange):
    """A server in one state whose calls are answered as told; None: taken."""

    wanted, former = "large", "small"

    def __init__(self, power: Power, *, planned: bool, labelled: bool, **answers: Rejected | Unknown) -> None:
        self.power, self.labelled, self.answers = power, labelled, answers
        self.plan = self.wanted if planned else self.former
        self.sent: list[str] = []

    async def stop(self) -> Rejected | Unknown | None:
        return self._call("stop")

    async def resize(self, plan: str) -> Rejected | Unknown | None:
        answer = self._call("resize" if plan == self.wanted else "back")
        self.plan = self.plan if answer else plan
        return answer

    async def start(self) -> Rejected | Unknown | None:
        return self._call("start" if self.plan == self.wanted else "restart")

    async def relabel(self) -> Rejected | Unknown | None:
        return self._call("relabel")

    def _call(self, name: str) -> Rejected | Unknown | None:
        self.sent.append(name)
        return self.answers.get(name)


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize(
    ("power", "planned", "answers", "sent", "outcome"),
    [
        (Power.BETWEEN, True, {}, [], GOING),  # it may be stopping
        (Power.BETWEEN, False, {}, [], GOING),
        (Power.ON, False, {}, ["stop"], GOING),
        (Power.ON, False, {"stop": BUSY}, ["stop"], GOING),
        (Power.ON, False, {"stop": LOST}, ["stop"], LOST),
        (Power.ON, False, {"stop": QUOTA}, ["stop"], QUOTA),
        (Power.OFF, False, {}, ["resize", "start"], GOING),
        (Power.OFF, False, {"resize": LOST}, ["resize"], LOST),
        (Power.OFF, False, {"resize": QUOTA}, ["resize", "restart"], QUOTA),  # it runs again with its former plan
        (Power.OFF, False, {"resize": BUSY}, ["resize", "restart"], BUSY),
        (Power.OFF, False, {"resize": LATER}, ["resize"], LATER),  # the same call is taken in a moment
        (Power.OFF, False, {"resize": QUOTA, "restart": LOST}, ["resize", "restart"], LOST),
        (Power.OFF, False, {"resize": QUOTA, "restart": BUSY}, ["resize", "restart"], GOING),
        (Power.OFF, False, {"resize": QUOTA, "restart": FULL}, ["resize", "restart"], FULL),
        (
            Power.OFF,
            False,
            {"start": QUOTA},
            ["resize", "start", "back", "restart"],
            QUOTA,
        ),  # only the start is refused
        (Power.OFF, True, {"start": FULL}, ["start", "back", "restart"], FULL),
        (Power.OFF, True, {"start": FULL, "back": LOST}, ["start", "back"], LOST),
        (Power.OFF, True, {"start": FULL, "restart": QUOTA}, ["start", "back", "restart"], QUOTA),
        (Power.OFF, True, {"start": DENIED}, ["start"], DENIED),  # with the former plan it is refused too
        (Power.OFF, True, {"start": BUSY}, ["start"], GOING),
        (Power.OFF, True, {}, ["start"], GOING),  # also after a crash, or if somebody else stopped it
        (Power.OFF, True, {"start": LOST}, ["start"], LOST),
    ],
)
def test_the_next_step_of_another_plan(
    power: Power,
    planned: bool,
    answers: dict[str, Rejected | Unknown],
    sent: list[str],
    outcome: object,
    labelled: bool,
) -> None:
    change = Scripted(power, planned=planned, labelled=labelled, **answers)
    found = asyncio.run(change.step())
    assert change.sent == sent
    assert isinstance(found, Going) if outcome is GOING else found == outcome


def test_a_stopped_server_with_one_plan_only_keeps_it_when_its_start_is_refused() -> None:
    change = Scripted(Power.OFF, planned=True, labelled=False, start=FULL)
    change.former = change.wanted
    assert (asyncio.run(change.step()), change.sent) == (FULL, ["start"])


def test_labels_are_set_once_it_runs_with_its_plan() -> None:
    done = Scripted(Power.ON, planned=True, labelled=True)
    assert (asyncio.run(done.step()), done.sent) == (None, [])
    rest = Scripted(Power.ON, planned=True, labelled=False)
    assert (asyncio.run(rest.step()), rest.sent) == (None, ["relabel"])
    refused = Scripted(Power.ON, planned=True, labelled=False, relabel=QUOTA)
    assert asyncio.run(refused.step()) == QUOTA


def test_a_stop_that_was_sent_counts_until_the_server_is_off_or_ignores_it() -> None:
    class Clock:
        time = EPOCH

        def now(self) -> float:
            return self.time

    clock = Clock()
    stops = SentStops(clock)  # type: ignore[arg-type]

    async def answers(answer: Rejected | Unknown | None) -> Rejected | Unknown | None:
        return await stops.send("s-1", lambda: _soon(answer))

    assert stops.power("s-1", Power.ON) is Power.ON
    assert asyncio.run(answers(QUOTA)) == QUOTA
    assert stops.power("s-1", Power.ON) is Power.ON, "a refused stop stops nothing"
    for answer in (None, LOST, BUSY):
        assert asyncio.run(answers(answer)) == answer
        assert stops.power("s-1", Power.ON) is Power.BETWEEN
        assert stops.power("s-2", Power.ON) is Power.ON
        clock.time += STOP_SECONDS / 2
        assert stops.power("s-1", Power.OFF) is Power.OFF
        assert stops.power("s-1", Power.ON) is Power.ON, "it was started since"
    asyncio.run(answers(None))
    clock.time += STOP_SECONDS + 1
    assert stops.power("s-1", Power.ON) is Power.ON


async def _soon(answer: Rejected | Unknown | None) -> Rejected | Unknown | None:
    return answer


def test_labels_of_others_and_of_the_run_stay() -> None:
    found = {"batchwright-run": "r", "batchwright-token": "t", "team": "a", "tier": "web", "cost": "7"}
    asked, before = {"tier": "db", "new": "1", "batchwright-run": "other"}, {"team": "a", "tier": "web"}
    after = labels_after(found, asked, before)
    assert after == {"batchwright-run": "r", "batchwright-token": "t", "tier": "db", "cost": "7", "new": "1"}
    assert labels_after(after, asked, before) == after
    assert labels_after(after, before, asked) == found
