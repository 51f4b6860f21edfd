"""Which events of a run's journal receivers of webhooks are told about, and as what."""

from __future__ import annotations

from batchwright.model import events as ev
from batchwright.model.lifecycle import RunState
from batchwright.model.webhook import WebhookEvent

_ENDED = {
    RunState.COMPLETED: WebhookEvent.RUN_COMPLETED,
    RunState.FAILED: WebhookEvent.RUN_FAILED,
    RunState.CANCELLED: WebhookEvent.RUN_CANCELLED,
    RunState.ROLLED_BACK: WebhookEvent.RUN_ROLLED_BACK,
    RunState.ROLLBACK_INCOMPLETE: WebhookEvent.RUN_ROLLBACK_INCOMPLETE,
}


def webhook_event(event: ev.AnyEvent) -> WebhookEvent | None:
    """What receivers are told about an event; None for most."""
    match event:
        case ev.RunStarted() | ev.RunReopened():
            return WebhookEvent.RUN_STARTED
        case ev.RunEnded() | ev.RollbackEnded():
            return _ENDED[event.status]
        case ev.RollbackStarted():
            return WebhookEvent.RUN_ROLLING_BACK
        case ev.HoldAsked():
            return WebhookEvent.RUN_ASKS
        case ev.StepFailed() | ev.UndoFailed() | ev.HoldRefused() | ev.HoldExpired():
            return WebhookEvent.STEP_FAILED
    return None
