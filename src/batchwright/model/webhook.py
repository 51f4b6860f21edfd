"""Webhooks: who is told about which events of a run."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from batchwright.model import events as ev
from batchwright.model.lifecycle import RunState
from batchwright.model.secret_reference import SecretReference


class WebhookEvent(StrEnum):
    """What a receiver can be told about. The value is the `type` of the message."""

    RUN_STARTED = "run.started"  # also when a run that had ended, or whose process died, goes on
    RUN_COMPLETED = "run.completed"
    RUN_FAILED = "run.failed"
    RUN_CANCELLED = "run.cancelled"
    RUN_ROLLING_BACK = "run.rolling_back"
    RUN_ROLLED_BACK = "run.rolled_back"
    RUN_ROLLBACK_INCOMPLETE = "run.rollback_incomplete"
    STEP_FAILED = "step.failed"


# Of a run with many servers, single steps may fail by the hundred: they are sent only where that is asked for.
USUAL = tuple(one for one in WebhookEvent if one is not WebhookEvent.STEP_FAILED)

_ENDED = {
    RunState.COMPLETED: WebhookEvent.RUN_COMPLETED,
    RunState.FAILED: WebhookEvent.RUN_FAILED,
    RunState.CANCELLED: WebhookEvent.RUN_CANCELLED,
    RunState.ROLLED_BACK: WebhookEvent.RUN_ROLLED_BACK,
    RunState.ROLLBACK_INCOMPLETE: WebhookEvent.RUN_ROLLBACK_INCOMPLETE,
}


class Webhook(Struct, frozen=True, forbid_unknown_fields=True):
    """A receiver: where its messages go, which, and the secret that signs them.

    `simulated`: simulated runs are told too.
    """

    name: str
    url: str
    secret: SecretReference
    events: tuple[WebhookEvent, ...] = USUAL
    simulated: bool = False


def webhook_event(event: ev.AnyEvent) -> WebhookEvent | None:
    """What receivers are told about an event of a run's journal; None for most."""
    match event:
        case ev.RunStarted() | ev.RunReopened():
            return WebhookEvent.RUN_STARTED
        case ev.RunEnded(status=status) | ev.RollbackEnded(status=status):
            return _ENDED[status]
        case ev.RollbackStarted():
            return WebhookEvent.RUN_ROLLING_BACK
        case ev.StepFailed() | ev.UndoFailed():
            return WebhookEvent.STEP_FAILED
    return None
