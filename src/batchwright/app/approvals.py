"""Use cases about questions to people: who can answer, and an answer that the run's driver reads."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from batchwright.app.access_tokens import Tokens
from batchwright.app.settings import Settings
from batchwright.app.shared_tokens import synchronise
from batchwright.errors import (
    ApprovalLate,
    ApprovalOutdated,
    ApproverRefused,
    NotAllowed,
    QuorumUnreachable,
    UsageError,
)
from batchwright.journal.base import Journal
from batchwright.journal.shared_records import SharesRecords
from batchwright.model.approver import Principal, unfit
from batchwright.model.lifecycle import RUN_ENDED, RunState
from batchwright.model.plan import Plan
from batchwright.model.run import Run
from batchwright.model.run_signal import HoldAnswer, Signal, SignalKind
from batchwright.views.steps import step_named

COMMENT_MAX = 500  # characters


class AnswerRequest(Struct, frozen=True):
    """What somebody says to a question. `step` may be empty if the run asks only one.

    `hash` and `ask` name the question as it was shown, or are empty and 0 for the one that is asked now. Raises
    UsageError for a comment that is too long.
    """

    yes: bool
    step: str = ""
    comment: str = ""
    hash: str = ""
    ask: int = 0

    def __post_init__(self) -> None:
        if len(self.comment) > COMMENT_MAX:
            raise UsageError(
                f"the comment has {len(self.comment):,} characters; at most {COMMENT_MAX} are possible",
                hint="Say it shorter, or say where it is written.",
            )


async def refuse_unreachable(settings: Settings, journal: Journal, plan: Plan, principal: str, now: float) -> None:
    """Raise QuorumUnreachable if fewer people than a question of the plan needs could answer it.

    `principal` submits the plan. Raises TokensUnreadable, StoreError.
    """
    holds = [(step.id, step.hold) for step in plan.steps if step.hold is not None]
    if not holds:
        return
    await _know_tokens(settings, journal)
    tokens = Tokens(settings).all()
    people = [Principal(token.id, token.name, token.role) for token in tokens if not token.trouble(now)]
    for step, hold in holds:
        if not tokens and hold.quorum > 1:
            raise QuorumUnreachable(
                f"{step} asks {hold.quorum} people, and without access tokens nobody can be told from anybody else"
            )
        able = sum(not unfit(hold, one, (principal,), tokens=True) for one in people)
        if tokens and able < hold.quorum:
            raise QuorumUnreachable(
                f"{step} needs {hold.quorum} of those who may answer, besides who submits the run, and there are {able}"
            )


async def answer(
    journal: Journal, run: Run, given: AnswerRequest, who: Principal, settings: Settings, now: float
) -> tuple[str, bool]:
    """Leave an answer for the run's driver, durably, unless the same person has given the same answer before.

    Gives the step that asks, and whether the answer is new. Raises ApprovalLate, ApprovalOutdated, ApproverRefused,
    NotAllowed, StepNotFound, UsageError, StoreError, TokensUnreadable.
    """
    await _know_tokens(settings, journal)
    step = _asked_step(run, given.step)
    hold = run.holds.get(step)
    if hold is None:
        raise NotAllowed(f"step {step} of run {run.id} asks nothing", hint=f"batchwright approvals {run.id}")
    if (given.hash or hold.hash) != hold.hash or (given.ask or hold.ask) != hold.ask:
        raise ApprovalOutdated(f"{step} asks another question now than the one that was answered")
    if why := unfit_for(settings, run, step, who):
        raise ApproverRefused(f"{who.name or who.id} may not answer {step}: {why}")
    earlier = next((one.yes for one in hold.answers if one.principal == who.id), None)
    if earlier is None:
        left = [signal.answer for _, signal in await journal.signals(run.id, run.heard) if signal.answer is not None]
        earlier = next((one.yes for one in left if _is_for(one, step, hold.hash) and one.who.id == who.id), None)
    if earlier is not None:
        if earlier is not given.yes:
            said = "approved" if earlier else "refused"
            raise NotAllowed(f"{who.name or who.id} has {said} {step} already", hint="An answer cannot be changed.")
        return step, False
    _refuse_late(run, step, hold.until, now)
    body = HoldAnswer(step, hold.ask, hold.hash, given.yes, who, given.comment)
    await journal.signal(run.id, Signal(SignalKind.ANSWER, now, who.name or who.id, body))
    return step, True


async def _know_tokens(settings: Settings, journal: Journal) -> None:
    """Have the tokens that services share, also where no service keeps a copy of them. Raises StoreError."""
    if isinstance(journal, SharesRecords):
        await synchronise(Tokens(settings), journal)


def unfit_for(settings: Settings, run: Run, step: str, who: Principal) -> str:
    """Why somebody may not answer the question of a step, empty if they may. Raises TokensUnreadable."""
    hold = run.plan.steps[run.step(step)].hold
    assert hold is not None
    return unfit(hold, who, run.responsible, tokens=bool(Tokens(settings).all()))


def _is_for(one: HoldAnswer, step: str, digest: str) -> bool:
    return (one.step, one.hash) == (step, digest)


ENDED_HINT = "See what the run did with: batchwright status RUN"


def _refuse_late(run: Run, step: str, until: float, now: float) -> None:
    if run.status in RUN_ENDED or run.status is RunState.ROLLING_BACK or run.cancelling:
        state = "Cancelling" if run.cancelling and run.status not in RUN_ENDED else run.status
        again = run.status in (RunState.FAILED, RunState.CANCELLED)
        raise ApprovalLate(f"run {run.id} is {state}; its questions are closed", hint=None if again else ENDED_HINT)
    if run.step(step) not in run.asking:
        raise ApprovalLate(f"the question of {step} was decided: it is {run.record(step).state}")
    if until and now >= until:
        raise ApprovalLate(f"the question of {step} has expired")


def _asked_step(run: Run, word: str) -> str:
    """The step that a person means: by default the only one that asks, else the last that asked."""
    if word:
        return step_named(run, word)
    asking: Sequence[int] = run.asking
    if len(asking) == 1:
        return run.plan.steps[asking[0]].id
    if asking:
        steps = ", ".join(run.plan.steps[i].id for i in asking)
        raise UsageError(f"run {run.id} asks {len(asking)} questions: {steps}", hint="Name the STEP.")
    if run.holds:
        return max(run.holds, key=lambda step: run.holds[step].asked_at)
    raise NotAllowed(f"run {run.id} asks nothing", hint="What is asked: batchwright approvals")
