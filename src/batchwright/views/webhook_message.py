"""What receivers of webhooks are sent, and what people see of the deliveries. Never a secret, user data or output."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum

import msgspec
from msgspec import UNSET, Struct, UnsetType

from batchwright.model import events as ev
from batchwright.model.delivery import Delivery
from batchwright.model.environment import SIMULATED, EnvironmentKey
from batchwright.model.fault import Fault
from batchwright.model.lifecycle import RunState, StepState
from batchwright.model.run import Run
from batchwright.model.webhook import WebhookEvent
from batchwright.printable import printable, shortened
from batchwright.views.approvals import question_text

FAULTS_MOST = 10  # failed steps that one message names
WORDS_MOST = 300  # characters of what is said about one


class MessageFault(Struct, frozen=True):
    """A step that failed, the class of its fault, and its words."""

    step: str
    kind: str
    message: str


class MessageSteps(Struct, frozen=True):
    """How many steps the run has, and how far they are."""

    total: int
    succeeded: int
    failed: int
    skipped: int
    undone: int


class MessageQuestion(Struct, frozen=True):
    """What people are asked. `until` is when it expires, as RFC 3339; empty: it stays open."""

    step: str
    text: str
    ask: int
    hash: str
    until: str
    of: tuple[str, ...]
    quorum: int


class MessageData(Struct, frozen=True):
    """What a message says about a run, as it was right after the event.

    `by` is who began what the message is about. `faults` are failed steps, at most FAULTS_MOST, and `residue` the steps
    that a rollback could not undo. `degraded` are operations of a Completed run in which some steps did not succeed, at
    most FAULTS_MOST.
    """

    environment: str
    simulated: bool
    run: str
    event: int
    workflow: str
    version: str
    state: RunState
    by: str
    reason: str
    steps: MessageSteps
    faults: tuple[MessageFault, ...] = ()
    residue: tuple[str, ...] = ()
    question: MessageQuestion | UnsetType = UNSET
    degraded: tuple[str, ...] = ()


class WebhookMessage(Struct, frozen=True):
    """The body of a request to a receiver. `timestamp` is when it happened, not when it is sent."""

    type: WebhookEvent
    timestamp: str
    data: MessageData


def webhook_message(run: Run, event: ev.AnyEvent, kind: WebhookEvent) -> bytes:
    """The body for an event. `run` is the fold up to this event, so that the same event always gives the same bytes."""
    key = EnvironmentKey.of(run.plan)
    data = MessageData(
        environment=key.name,
        simulated=key.space == SIMULATED,
        run=run.id,
        event=run.seq,
        workflow=run.plan.workflow,
        version=run.plan.version,
        state=run.status,
        by=getattr(event, "by", "") or (run.rolled_back_by if run.rolled_back_by else run.created.by),
        reason=_words(run.reason),
        steps=MessageSteps(
            run.step_count,
            run.count(StepState.SUCCEEDED),
            run.count(StepState.FAILED, StepState.UNDO_FAILED),
            run.count(StepState.SKIPPED),
            run.count(StepState.UNDONE),
        ),
        faults=_faults(run, event),
        residue=run.residue[:FAULTS_MOST],
        question=_question(run, event) if isinstance(event, ev.HoldAsked) else UNSET,
        degraded=run.degraded[:FAULTS_MOST] if run.status is RunState.COMPLETED else (),
    )
    return msgspec.json.encode(WebhookMessage(kind, stamp(event.at), data))


def _question(run: Run, event: ev.HoldAsked) -> MessageQuestion:
    step = run.plan.steps[run.step(event.step)]
    assert step.hold is not None
    until = stamp(event.until) if event.until else ""
    text = _words(question_text(run, run.step(event.step)))
    return MessageQuestion(step.id, text, event.ask, event.hash, until, step.hold.of, step.hold.quorum)


def stamp(at: float) -> str:
    """A time in seconds since the epoch as RFC 3339, in UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _faults(run: Run, event: ev.AnyEvent) -> tuple[MessageFault, ...]:
    if isinstance(event, ev.StepFailed | ev.UndoFailed | ev.HoldRefused | ev.HoldExpired):
        return (_fault(event.step, event.fault),)
    failed = (
        (step.id, record.fault)
        for step, record in zip(run.plan.steps, run.records, strict=True)
        if record.state in (StepState.FAILED, StepState.UNDO_FAILED)
    )
    found = tuple(_fault(step, fault) for step, fault in failed if fault is not None)
    return found[:FAULTS_MOST]


def _fault(step: str, fault: Fault) -> MessageFault:
    return MessageFault(step, fault.kind.value, _words(fault.message))


def _words(text: str) -> str:
    return shortened(" ".join(printable(text).split()), WORDS_MOST)


class DeliveryState(StrEnum):
    """Where the messages of one webhook about one run are."""

    OPEN = "open"  # all that happened so far was delivered or is about to be
    RETRYING = "retrying"  # the last attempt failed, and there will be another
    FAILED = "failed"  # some messages were given up
    DELIVERED = "delivered"


class DeliveryLine(Struct, frozen=True):
    """One webhook of one run. `failed` and `again` are message ids: given up, and asked for again.

    `next` is when the next attempt is due and `answered` when the last one ended, in seconds since the epoch; 0: none.
    """

    run: str
    webhook: str
    receiver: str
    state: DeliveryState
    delivered: int
    failed: tuple[str, ...]
    again: tuple[str, ...]
    attempts: int
    next: float
    answer: str
    answered: float


def delivery_line(row: Delivery) -> DeliveryLine:
    """What people see of a row."""
    waits = row.open and (row.attempts > 0 or bool(row.again))
    state = DeliveryState.RETRYING if waits else DeliveryState.FAILED if row.failed else DeliveryState.DELIVERED
    if row.open and not waits and not row.failed:
        state = DeliveryState.OPEN
    return DeliveryLine(
        run=row.run,
        webhook=row.webhook,
        receiver=row.receiver,
        state=state,
        delivered=row.delivered,
        failed=tuple(message_id(row.run, seq) for seq in row.failed),
        again=tuple(message_id(row.run, seq) for seq in row.again),
        attempts=row.attempts,
        next=row.due if row.open else 0.0,
        answer=row.answer,
        answered=row.answered_at,
    )


def message_id(run: str, seq: int) -> str:
    """The id of a message: the same however often it is sent, so that receivers can drop what they have had."""
    return f"{run}:{seq}"


def undelivered_words(line: DeliveryLine) -> str:
    """What is said when a command ends before a webhook was told everything."""
    why = f": {line.answer}" if line.answer else ""
    return f"webhook {line.webhook} ({line.receiver}) was not told everything yet{why}"


UNDELIVERED_HINT = "the service or the next command that drives a run sends it, or: batchwright webhooks resend {run}"
