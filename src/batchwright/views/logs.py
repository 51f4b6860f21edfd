"""The output of a step, with a heading for each attempt."""

from __future__ import annotations

from msgspec import Struct

from batchwright.model import events as ev
from batchwright.views.events import step_text
from batchwright.views.text_format import duration


class LogLine(Struct, frozen=True):
    """A line of output or, with `heading`, what happened to the step. `after` is seconds since the run was created."""

    at: float
    after: float
    step: str
    attempt: int
    text: str
    undo: bool = False
    heading: bool = False


_HEADINGS = (
    *(ev.StepStarted, ev.StepInDoubt, ev.StepRetrying, ev.StepMoved, ev.StepFailed, ev.StepSucceeded, ev.StepSkipped),
    *(ev.UndoStarted, ev.UndoRetrying, ev.UndoFailed, ev.StepUndone),
)
_UNDO = (ev.UndoStarted, ev.UndoRetrying, ev.UndoFailed, ev.StepUndone)


def log_text(line: LogLine) -> str:
    """Format a line for people."""
    return f"-- +{duration(line.after)} {line.text}" if line.heading else line.text


class StepLog:
    """Picks a step's lines out of a run's events, in order."""

    def __init__(self, step: str, began: float) -> None:
        self._step, self._began = step, began
        self._attempt = 0

    def take(self, event: ev.AnyEvent) -> list[LogLine]:
        """The lines that an event adds; none if it is about another step."""
        if getattr(event, "step", None) != self._step:
            return []
        self._attempt = getattr(event, "attempt", self._attempt)
        if isinstance(event, ev.StepOutput):
            return [self._line(event, line, undo=event.undo) for line in event.lines]
        if isinstance(event, _HEADINGS):
            return [self._line(event, step_text(event), undo=isinstance(event, _UNDO), heading=True)]
        return []

    def _line(self, event: ev.AnyEvent, text: str, *, undo: bool, heading: bool = False) -> LogLine:
        return LogLine(event.at, event.at - self._began, self._step, self._attempt, text, undo, heading)
