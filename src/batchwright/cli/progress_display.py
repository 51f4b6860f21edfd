"""Shows a run while it goes on: a redrawn picture on a terminal, plain lines in a pipe, JSON lines on request."""

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
DRAW_SHARE = 0.05  # of the process's time, at most, goes into drawing
LINE_SECONDS = 1.0  # between two JSON lines, or two checks whether a progress line is due


class ProgressDisplay(Protocol):
    """Something that shows a run, in any client."""

    def draw(self, update: Update, now: float) -> None:
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
    """Plain lines, for pipes and logs."""

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
    """A JSON line whenever something has changed, at most once a second."""

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
    """Shows nothing. Used after the real screen failed."""

    def draw(self, update: Update, now: float) -> None:
        del update, now

    def tell(self, line: str) -> None:
        note(line)

    def close(self) -> None:
        return


def display_for(*, stderr: bool) -> ProgressDisplay:
    """A picture if there is a terminal to draw on, plain lines otherwise."""
    return LiveDisplay(stderr=stderr) if drawable(stderr=stderr) else PlainDisplay(stderr=stderr)
