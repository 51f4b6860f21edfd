"""What the events of gates and of questions to people change in a RunFoldState."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from batchwright.model import events as ev
from batchwright.model.run_fold_state import HoldFoldState, RunFoldState
from batchwright.model.step_transition import move


def gate_passed(run: RunFoldState, event: ev.GatePassed) -> int:
    i, record = move(run, event.step, "gate_passed")
    record.ended_at = event.at
    return i


def hold_asked(run: RunFoldState, event: ev.HoldAsked) -> int:
    i, record = move(run, event.step, "hold_asked")
    run.holds[event.step] = HoldFoldState(event.ask, event.hash, event.at, event.until)
    record.started_at = record.started_at or event.at
    record.attempt = event.ask
    record.attempt_at = event.at
    record.fault = None
    return i


def hold_answered(run: RunFoldState, event: ev.HoldAnswered) -> int:
    i, _ = move(run, event.step, "hold_answered")
    run.holds[event.step].answers += (event,)
    run.heard = max(run.heard, event.signal)
    return i


def hold_opened(run: RunFoldState, event: ev.HoldGranted | ev.HoldPassed) -> int:
    granted = isinstance(event, ev.HoldGranted)
    i, record = move(run, event.step, "hold_granted" if granted else "hold_passed")
    record.ended_at = event.at
    return i


def hold_closed(run: RunFoldState, event: ev.HoldRefused | ev.HoldExpired) -> int:
    refused = isinstance(event, ev.HoldRefused)
    i, record = move(run, event.step, "hold_refused" if refused else "hold_expired")
    record.fault = event.fault
    record.ended_at = event.at
    return i


HOLDS: dict[type[ev.Event], Callable[[RunFoldState, Any], int | None]] = {
    ev.GatePassed: gate_passed,
    ev.HoldAsked: hold_asked,
    ev.HoldAnswered: hold_answered,
    ev.HoldGranted: hold_opened,
    ev.HoldPassed: hold_opened,
    ev.HoldRefused: hold_closed,
    ev.HoldExpired: hold_closed,
}
