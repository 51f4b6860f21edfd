"""No two orders of reading answers and of time give two verdicts on a question (I12)."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from batchwright.model.approver import Principal
from batchwright.model.lifecycle import StepState
from batchwright.model.plan import Hold
from batchwright.model.run_signal import HoldAnswer, Signal, SignalKind
from tests.unit.engine.stage import QUICK, plan_of, servers
from tests.unit.engine.test_approval_gates import Hand, approval

BEGAN, EXPIRES = 100.0, 10.0
UNTIL = BEGAN + EXPIRES


class Given(Struct, frozen=True):
    """An answer and when it was given."""

    at: float
    who: str
    yes: bool


times = st.floats(BEGAN, UNTIL + 5, width=32) | st.just(UNTIL)
answers = st.lists(st.builds(Given, times, st.sampled_from(["ada", "grace", "edsger"]), st.booleans()), max_size=5)
reads = st.lists(st.tuples(times, st.floats(0.0, 3.0, width=32), st.booleans()), max_size=6)


def wanted(said: Sequence[Given], hold: Hold) -> StepState:
    """What the answers amount to, whenever anybody reads them."""
    voices: set[str] = set()
    for one in said:
        if one.at >= UNTIL or one.who in voices:
            continue
        voices.add(one.who)
        if not one.yes:
            return StepState.FAILED
        if len(voices) >= hold.quorum:
            return StepState.SUCCEEDED
    return StepState.SUCCEEDED if hold.go_on else StepState.FAILED


@given(answers, reads, st.integers(1, 2), st.booleans())
def test_the_verdict_does_not_depend_on_when_answers_are_read(
    said: list[Given], looks: list[tuple[float, float, bool]], quorum: int, go_on: bool
) -> None:
    """A driver reads at some times and decides a while later; some of them die in between."""
    said = sorted(said, key=lambda one: one.at)
    hold = Hold(quorum=quorum, expires=EXPIRES, go_on=go_on)
    hand = Hand(plan_of(QUICK, approval("ok", hold), servers("up", "a", after=["ok"])))
    hand.go()
    asked, read = hand.run.holds["ok/ask"], 0
    for read_at, later, dies in [*sorted(looks), (UNTIL + 10.0, 1.0, False)]:
        while read < len(said) and said[read].at <= read_at:
            one, read = said[read], read + 1
            body = HoldAnswer("ok/ask", 1, asked.hash, one.yes, Principal(one.who, one.who))
            hand.take(hand.machine.request(Signal(SignalKind.ANSWER, one.at, one.who, body), read_at, read))
        if dies:  # what was heard is durable, and nothing was decided yet
            hand = hand.reborn()
        hand.now = max(hand.now, read_at + later)
        hand.go(read_at=read_at)
    assert hand.state("ok/ask") is wanted(said, hold)
