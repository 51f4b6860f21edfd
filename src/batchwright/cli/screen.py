"""Shows a run while it goes: a picture that is redrawn on a terminal, plain lines in a pipe, JSON lines on request."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Protocol

from rich.console import Group
from rich.live import Live
from rich.text import Text

from batchwright.cli.output import Lines, drawable, err, note, out, print_json, unechoed
from batchwright.cli.plain_progress import Plain
from batchwright.cli.run_picture import frame
from batchwright.model.events import AnyEvent
from batchwright.model.run import Run
from batchwright.views.run import ViewBounds, run_view
from batchwright.views.shape import Shape, shape_of
from batchwright.views.waiting import Circumstances

DRAW_SECONDS = 0.2
DRAW_SHARE = 0.05  # of the process's time at most is spent on drawing
LIVE = ViewBounds(running=20, failed=20, doubts=1, servers=0)


class Screen(Protocol):
    """Something a run is shown on."""

    def draw(self, run: Run, events: Sequence[AnyEvent], around: Circumstances, now: float) -> None:
        """Show how it is at `now`; `events` came since the last time."""
        ...

    def tell(self, line: str) -> None:
        """A message to the person who watches."""
        ...

    def close(self) -> None:
        """Leave the screen as a person wants to find it."""
        ...


class _Drawn:
    """What the screens share: the shape of the plan is worked out once."""

    _shape: Shape | None = None

    def shape(self, run: Run) -> Shape:
        self._shape = self._shape or shape_of(run.plan)
        return self._shape


class LiveScreen(_Drawn):
    """At most 20 lines on a terminal."""

    def __init__(self, *, stderr: bool) -> None:
        self._console = err() if stderr else out()
        self._console.soft_wrap = False
        self._quiet = ExitStack()
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._next = 0.0

    def draw(self, run: Run, events: Sequence[AnyEvent], around: Circumstances, now: float) -> None:
        del events
        began = time.monotonic()
        if began < self._next:
            return
        if not self._live.is_started:
            self._quiet.enter_context(unechoed())
            self._live.start()
        view = run_view(run, now, around=around, shape=self.shape(run), bounds=LIVE)
        size = self._console.size
        self._live.update(Group(*frame(view, size.width, min(20, size.height - 2))), refresh=True)
        ended = time.monotonic()
        self._next = ended + (ended - began) / DRAW_SHARE - DRAW_SECONDS

    def tell(self, line: str) -> None:
        self._live.console.print(Text(line, "yellow"))

    def close(self) -> None:
        if self._live.is_started:
            self._live.stop()
        self._quiet.close()


class PlainScreen(_Drawn):
    """Lines, for pipes and logs."""

    def __init__(self, *, stderr: bool) -> None:
        self._write = Lines(stderr=stderr).write
        self._plain: Plain | None = None
        self._next = 0.0

    def draw(self, run: Run, events: Sequence[AnyEvent], around: Circumstances, now: float) -> None:
        self._plain = self._plain or Plain(len(run.plan.steps), self._write)
        self._plain.take(events, run.created_at)
        if now >= self._next:
            self._next = now + 1.0
            self._plain.progress(run_view(run, now, around=around, shape=self.shape(run), bounds=LIVE), now)

    def tell(self, line: str) -> None:
        note(line)

    def close(self) -> None:
        self._plain = None


class JsonScreen(_Drawn):
    """A line of JSON whenever something has changed, at most once a second."""

    def __init__(self) -> None:
        self._next = 0.0
        self._seq = 0

    def draw(self, run: Run, events: Sequence[AnyEvent], around: Circumstances, now: float) -> None:
        del events
        if now >= self._next and run.seq != self._seq:
            self._next, self._seq = now + 1.0, run.seq
            print_json(run_view(run, now, around=around, shape=self.shape(run), bounds=LIVE))

    def tell(self, line: str) -> None:
        note(line)

    def close(self) -> None:
        self._next = 0.0


class NullScreen:
    """Shows nothing: drawing failed."""

    def draw(self, run: Run, events: Sequence[AnyEvent], around: Circumstances, now: float) -> None:
        del run, events, around, now

    def tell(self, line: str) -> None:
        note(line)

    def close(self) -> None:
        return


def screen_for(*, stderr: bool) -> Screen:
    """A picture where there is a terminal to draw on, lines elsewhere."""
    return LiveScreen(stderr=stderr) if drawable(stderr=stderr) else PlainScreen(stderr=stderr)
