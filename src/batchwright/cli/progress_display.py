"""Shows a run while it goes: a picture that is redrawn on a terminal, plain lines in a pipe, JSON lines on request."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Protocol

from rich.console import Group
from rich.live import Live
from rich.text import Text

from batchwright.cli.output import Lines, drawable, err, note, out, print_json, unechoed
from batchwright.cli.plain_progress import Plain
from batchwright.cli.run_picture import frame
from batchwright.views.update import Update

DRAW_SECONDS = 0.2
DRAW_SHARE = 0.05  # of the process's time at most is spent on drawing
LINE_SECONDS = 1.0  # between two lines of JSON, or two looks whether a line of progress is due


class ProgressDisplay(Protocol):
    """Something a run is shown on, whoever drives it and wherever."""

    def draw(self, update: Update, now: float) -> None:
        """Show how it is at `now`."""
        ...

    def tell(self, line: str) -> None:
        """A message to the person who watches."""
        ...

    def close(self) -> None:
        """Leave the screen as a person wants to find it."""
        ...


class LiveDisplay:
    """At most 20 lines on a terminal."""

    def __init__(self, *, stderr: bool) -> None:
        self._console = err() if stderr else out()
        self._console.soft_wrap = False
        self._quiet = ExitStack()
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._next = 0.0

    def draw(self, update: Update, now: float) -> None:
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


class PlainDisplay:
    """Lines, for pipes and logs."""

    def __init__(self, *, stderr: bool) -> None:
        self._write = Lines(stderr=stderr).write
        self._plain: Plain | None = None
        self._created_at = 0.0
        self._next = 0.0

    def draw(self, update: Update, now: float) -> None:
        if self._plain is None:
            self._plain = Plain(sum(update.view.counts.values()), self._write)
            self._created_at = update.view.created_at
        self._plain.take(update.events, self._created_at)
        if now >= self._next:
            self._next = now + LINE_SECONDS
            self._plain.progress(update.view, now)

    def tell(self, line: str) -> None:
        note(line)

    def close(self) -> None:
        self._plain = None


class JsonDisplay:
    """A line of JSON whenever something has changed, at most once a second."""

    def __init__(self) -> None:
        self._next = 0.0
        self._shown: object = None

    def draw(self, update: Update, now: float) -> None:
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
    """Shows nothing: drawing failed."""

    def draw(self, update: Update, now: float) -> None:
        del update, now

    def tell(self, line: str) -> None:
        note(line)

    def close(self) -> None:
        return


def display_for(*, stderr: bool) -> ProgressDisplay:
    """A picture where there is a terminal to draw on, lines elsewhere."""
    return LiveDisplay(stderr=stderr) if drawable(stderr=stderr) else PlainDisplay(stderr=stderr)
