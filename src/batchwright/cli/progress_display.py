"""Shows a run while it goes on: a redrawn picture on a terminal, plain lines in a pipe, JSON lines on request."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Protocol

from rich.console import Group
from rich.live import Live
from rich.text import Text

from batchwright.cli.output import Lines, drawable, err, note, out, print_json, unechoed
from batchwright.cli.progress_frame import frame, progress_words, troubles
from batchwright.model import events as ev
from batchwright.views.events import event_line
from batchwright.views.progress_update import ProgressUpdate
from batchwright.views.run import RunView
from batchwright.views.text_format import duration, one_line

DRAW_SECONDS = 0.2
DRAW_SHARE = 0.05  # of the process's time, at most, goes into drawing
LINE_SECONDS = 1.0  # between two JSON lines, or two checks whether a progress line is due
EACH_STEP_MAX = 50  # runs with more steps than this show totals only
LIKE_IT_MAX = 3  # failures of one kind in one batch that get a line each
SHARE = 0.05  # of the steps: at most this much progress between two progress lines
SILENCE_MOST = 60.0  # seconds without output after which a reader wonders whether it hangs
SECONDS_LEAST, SECONDS_MOST = 1.0, 30.0  # between two progress lines

_QUIET = (ev.RunCreated, ev.StepCreated, ev.StepOutput, ev.SweepStarted, ev.SweepEnded)
_OF_STEPS = (
    *(ev.StepStarted, ev.StepInDoubt, ev.StepSucceeded, ev.StepRetrying, ev.StepMoved, ev.StepFailed, ev.StepSkipped),
    *(ev.UndoStarted, ev.UndoRetrying, ev.StepUndone, ev.UndoFailed),
)


class ProgressDisplay(Protocol):
    """Something that shows a run, in any client."""

    def draw(self, update: ProgressUpdate, now: float) -> None:
        """Show the run as of `now`."""
        ...

    def tell(self, line: str) -> None:
        """Show a message to the user."""
        ...

    def close(self) -> None:
        """Stop drawing and restore the terminal."""
        ...


class LiveDisplay:
    """A redrawn picture of at most 20 lines on a terminal."""

    def __init__(self, *, stderr: bool) -> None:
        self._console = err() if stderr else out()
        self._console.soft_wrap = False
        self._quiet = ExitStack()
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._next = 0.0

    def draw(self, update: ProgressUpdate, now: float) -> None:
        del now
        began = time.monotonic()
        if began < self._next:
            return
        if not self._live.is_started:
            self._quiet.enter_context(unechoed())
            self._live.start()
        size = self._console.size
        self._live.update(Group(*frame(update.view, size.width, min(20, size.height - 2))), refresh=True)
        ended = time.monotonic()
        self._next = ended + (ended - began) / DRAW_SHARE - DRAW_SECONDS

    def tell(self, line: str) -> None:
        self._live.console.print(Text(line, "yellow"))

    def close(self) -> None:
        if self._live.is_started:
            self._live.stop()
        self._quiet.close()


class Plain:
    """Turns events into lines, for a big run only into totals, so that logs stay short; passes each to `write`."""

    def __init__(self, steps: int, write: Callable[[str], None]) -> None:
        self._each = steps <= EACH_STEP_MAX
        self._write = write
        self._told_at = self._heard_at = 0.0  # times of the last progress line and of the last line of any kind
        self._told_done = 0

    def take(self, events: Sequence[ev.AnyEvent], began: float) -> None:
        """Write lines for these events, in order. Times count from `began`."""
        alike = Counter(kind for event in events if (kind := _trouble(event)))
        told: Counter[tuple[str, str]] = Counter()
        for event in events:
            kind = _trouble(event)
            if kind is None:
                if self._matters(event):
                    self._tell(event, began)
                continue
            most = alike[kind] if self._each or alike[kind] <= LIKE_IT_MAX else LIKE_IT_MAX - 1
            told[kind] += 1
            if told[kind] <= most:
                self._tell(event, began)
            if told[kind] == most < alike[kind]:
                self._write(f"{_stamp(event.at - began)}and {alike[kind] - most:,} more like it")

    def _matters(self, event: ev.AnyEvent) -> bool:
        if isinstance(event, ev.DriverStarted):
            return event.fence > 1  # another process took over the run
        if isinstance(event, _QUIET):
            return isinstance(event, ev.SweepEnded) and event.fault is not None
        return self._each or not isinstance(event, _OF_STEPS)

    def _tell(self, event: ev.AnyEvent, began: float) -> None:
        self._heard_at = event.at
        self._write(_stamp(event.at - began) + event_line(event))

    def progress(self, update: ProgressUpdate, now: float) -> None:
        """Write a progress line if one is due. After SILENCE_MOST seconds one is due even if nothing has changed."""
        self._heard_at = self._heard_at or now
        is_silent = now - self._heard_at >= SILENCE_MOST
        if self._each and not is_silent:  # then the view, which takes time, is not needed
            return
        view = update.view
        if not is_silent and not self._is_due(view, now):
            return
        self._told_at, self._told_done, self._heard_at = now, view.done, now
        self._write(_stamp(now - view.created_at) + progress_line(view))

    def _is_due(self, view: RunView, now: float) -> bool:
        if view.done == self._told_done:
            return False
        since = now - self._told_at
        moved = abs(view.done - self._told_done) >= max(1, view.total * SHARE)
        return since >= SECONDS_LEAST and (moved or since >= SECONDS_MOST)


def _trouble(event: ev.AnyEvent) -> tuple[str, str] | None:
    """The kind of failure or skip this event is. Events of one kind are summed up together."""
    match event:
        case ev.StepFailed(fault=fault) | ev.UndoFailed(fault=fault):
            return (fault.kind, fault.message)
        case ev.StepSkipped(reason=reason):
            return ("skipped", reason)
    return None


def progress_line(view: RunView) -> str:
    """The progress of a run on one line."""
    parts = [progress_words(view)]
    flying = len(view.running) + view.running_more
    if flying:
        parts.append(f"{flying:,} in flight")
    parts += [fact for fact, _ in troubles(view)]
    parts += [f"{provider.name} {provider.limit}" for provider in view.providers if provider.limit]
    if view.eta is not None:
        parts.append(f"about {duration(view.eta)} left")
    if view.waiting:
        most = max(view.waiting, key=lambda w: w.steps)
        parts.append(f"{most.steps:,} waiting ({one_line(most.reason, 60)})")
    return ", ".join(parts)


def _stamp(seconds: float) -> str:
    return f"{duration(seconds):>11}  "


class PlainDisplay:
    """Plain lines, for pipes and logs."""

    def __init__(self, *, stderr: bool) -> None:
        self._write = Lines(stderr=stderr).write
        self._plain: Plain | None = None
        self._created_at = 0.0
        self._next = 0.0

    def draw(self, update: ProgressUpdate, now: float) -> None:
        if self._plain is None:
            self._plain = Plain(sum(update.view.counts.values()), self._write)
            self._created_at = update.view.created_at
        self._plain.take(update.events, self._created_at)
        if now >= self._next:
            self._next = now + LINE_SECONDS
            self._plain.progress(update, now)

    def tell(self, line: str) -> None:
        note(line)

    def close(self) -> None:
        self._plain = None


class JsonDisplay:
    """A JSON line whenever something has changed, at most once a second."""

    def __init__(self) -> None:
        self._next = 0.0
        self._shown: object = None

    def draw(self, update: ProgressUpdate, now: float) -> None:
        if now < self._next:
            return
        view = update.view
        state = (view.updated_at, view.status, view.driven)
        if state != self._shown:
            self._next, self._shown = now + LINE_SECONDS, state
            print_json(view)

    def tell(self, line: str) -> None:
        note(line)

    def close(self) -> None:
        self._next = 0.0


class NullDisplay:
    """Shows nothing. Used after the real screen failed."""

    def draw(self, update: ProgressUpdate, now: float) -> None:
        del update, now

    def tell(self, line: str) -> None:
        note(line)

    def close(self) -> None:
        return


def display_for(*, stderr: bool) -> ProgressDisplay:
    """A picture if there is a terminal to draw on, plain lines otherwise."""
    return LiveDisplay(stderr=stderr) if drawable(stderr=stderr) else PlainDisplay(stderr=stderr)
