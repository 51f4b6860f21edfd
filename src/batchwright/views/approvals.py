"""Open questions of a run to people: what is asked, what a yes lets through, who may answer, and until when."""

from __future__ import annotations

from collections import Counter
from shlex import quote

from msgspec import Struct
from msgspec.structs import replace

from batchwright.model.environment import EnvironmentKey
from batchwright.model.gate_scope import let_through
from batchwright.model.plan import Hold
from batchwright.model.run import Run
from batchwright.operations.registry import type_of
from batchwright.views.text_format import counted, duration, some

STEPS_MOST, STEPS_NAMED = 20, 6  # that one question has, and that are printed


class GivenAnswer(Struct, frozen=True):
    """Who has answered so far. `at` is in seconds since the epoch."""

    yes: bool
    name: str
    comment: str
    at: float


class OpenQuestion(Struct, frozen=True):
    """A question that a run asks people. Times are seconds since the epoch; `until` is 0 if it stays open.

    `ask` counts how often the step asked; `hash` is the digest of all that an answer is bound to. `counts` has how many
    steps a yes lets through, by action; `steps` are the first of them. `of` are names of access tokens, or roles;
    `on_expiry` is `fail` or `go_on`.
    """

    run: str
    environment: str
    version: str
    simulated: bool
    step: str
    question: str
    ask: int
    hash: str
    asked_at: float
    until: float
    on_expiry: str
    of: tuple[str, ...]
    quorum: int
    who: str
    answers: tuple[GivenAnswer, ...]
    counts: dict[str, int]
    steps: tuple[str, ...]
    steps_more: int


def open_questions(run: Run) -> tuple[OpenQuestion, ...]:
    """What a run asks now, in the order of its plan."""
    return tuple(_question(run, i) for i in sorted(run.asking))


def _question(run: Run, i: int) -> OpenQuestion:
    step = run.plan.steps[i]
    hold, asked, through = step.hold, run.holds[step.id], let_through(run, i)
    assert hold is not None
    return OpenQuestion(
        run=run.id,
        environment=EnvironmentKey.of(run.plan).name,
        version=run.plan.version,
        simulated=run.plan.simulation is not None,
        step=step.id,
        question=question_text(run, i),
        ask=asked.ask,
        hash=asked.hash,
        asked_at=asked.asked_at,
        until=asked.until,
        on_expiry="go_on" if hold.go_on else "fail",
        of=hold.of,
        quorum=hold.quorum,
        who=_who(run, hold),
        answers=tuple(GivenAnswer(a.yes, a.name or a.principal, a.comment, a.given_at) for a in asked.answers),
        counts=dict(Counter(run.plan.steps[j].action.value for j in through)),
        steps=tuple(run.plan.steps[j].id for j in through[:STEPS_MOST]),
        steps_more=max(0, len(through) - STEPS_MOST),
    )


def question_text(run: Run, i: int) -> str:
    """What a step asks, with the values that its text refers to."""
    step = run.plan.steps[i]
    return type_of(step).subject(replace(step, request=run.request(i)))


def _who(run: Run, hold: Hold) -> str:
    """Who may answer, in words."""
    people = f"{hold.quorum} of " if hold.quorum > 1 else ""
    people += " or ".join(hold.of) if hold.of else "everybody who may operate runs"
    by_token = any("@" not in one for one in run.responsible)
    return f"{people}, but not {run.created.by}, who submitted it" if by_token and run.created.by else people


def through_words(question: OpenQuestion) -> str:
    """What a yes lets through, on one line."""
    if not question.counts:
        return "nothing: no step depends on it"
    kinds = some([f"{action} {number:,}" for action, number in question.counts.items()], 6)
    total = sum(question.counts.values())
    more = f" and {total - STEPS_NAMED:,} more" if total > STEPS_NAMED else ""
    return f"{counted(total, 'step')} ({kinds}): {', '.join(question.steps[:STEPS_NAMED])}{more}"


def given_words(question: OpenQuestion) -> str:
    """How many have answered, and who."""
    given = f"{len(question.answers)} of {counted(question.quorum, 'approval')} given"
    return f"{given}: {some([one.name for one in question.answers])}" if question.answers else given


def expiry_words(question: OpenQuestion, now: float) -> str:
    """How long the question is open, and what happens then."""
    if not question.until:
        return "open until somebody answers"
    then = "the run goes on" if question.on_expiry == "go_on" else "it counts as refused"
    if question.until <= now:
        return f"expired {duration(now - question.until)} ago; when the run continues, {then}"
    return f"open for another {duration(question.until - now)}; then {then}"


def answer_line(question: OpenQuestion) -> str:
    """The commands that answer it."""
    own = f"{question.run} {quote(question.step)}"
    return f"batchwright approve {own}, or batchwright refuse {own}; --comment says why"
