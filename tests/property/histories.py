"""Random journals of the real machine, with crashes, rollbacks and times of their own."""

from __future__ import annotations

import random

from hypothesis import strategies as st
from msgspec.structs import replace

from batchwright.model import events as ev
from batchwright.model.lifecycle import RUN_ENDED, StepState
from batchwright.model.run import made_something
from tests.property.rig import Case, Rig, cases


@st.composite
def journals(draw: st.DrawFn) -> list[ev.AnyEvent]:
    """A run that is killed once, perhaps rolled back, and told up to some moment."""
    case: Case = draw(cases())
    rig = Rig(case)
    for _ in range(draw(st.integers(0, 25))):
        rig.settle()
        if rig.machine.ended:
            break
        rig.turn()
    if not rig.machine.ended:
        _kill(rig, case)
    if draw(st.booleans()):
        for _ in range(draw(st.integers(0, 60))):
            rig.settle()
            if rig.machine.ended:
                break
            rig.turn()
    else:
        rig.play()
        run = rig.run
        if run.status in RUN_ENDED and any(made_something(run, i) for i in range(len(run.records))):
            rig.take(rig.machine.rollback(rig.now, "user"))
            if draw(st.booleans()):
                rig.play()
    return _timed(rig.history, draw(st.integers(0, 2**32)))


def _kill(rig: Rig, case: Case) -> None:
    """Another process takes over; calls that were never sent have no fate yet."""
    for i, record in enumerate(rig.run.records):
        if record.state is StepState.STARTED:
            rig.sends.setdefault(i, 1)
    rig.open = []
    rig.machine = type(rig.machine)(rig.run)
    rig.take([ev.DriverStarted(rig.now, "host:2:2", 2)])
    assert case.plan is rig.run.plan


def _timed(history: list[ev.AnyEvent], seed: int) -> list[ev.AnyEvent]:
    """The events at times that go on by fractions of a second, by seconds and sometimes by minutes."""
    chance, now = random.Random(seed), 1_700_000_000.0
    timed: list[ev.AnyEvent] = []
    for event in history:
        now += chance.choice((0.0, 0.01, 0.3, 2.0, 2.0, 9.0, 300.0)) * chance.random()
        timed.append(replace(event, at=now))
    return timed
