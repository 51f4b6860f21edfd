"""A run that a service drives, on a screen: drawn from the service's views, told from its events."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Protocol

from rich.console import Group
from rich.live import Live

from batchwright import standard_streams
from batchwright.cli.exit_codes import Exit, exit_of
from batchwright.cli.output import Lines, drawable, err, note, out, print_json, unechoed
from batchwright.cli.plain_progress import Plain
from batchwright.cli.run_picture import frame
from batchwright.cli.text import show_run
from batchwright.client.http import HttpClient, decoded, heard_event
from batchwright.model.events import AnyEvent
from batchwright.model.lifecycle import RUN_ENDED
from batchwright.views.run import RunView


class RemoteScreen(Protocol):
    """Something the views of a service are shown on."""

    def draw(self, view: RunView, events: Sequence[AnyEvent], now: float) -> None:
        """Show how it is; `events` came since the last time."""
        ...

    def close(self) -> None:
        """Leave the screen as a person wants to find it."""
        ...


class _Live:
    """At most 20 lines on a terminal."""

    def __init__(self, *, stderr: bool) -> None:
        self._console = err() if stderr else out()
        self._console.soft_wrap = False
        self._quiet = ExitStack()
        self._live = Live(console=self._console, auto_refresh=False, transient=True)

    def draw(self, view: RunView, events: Sequence[AnyEvent], now: float) -> None:
        del events, now
        if not self._live.is_started:
            self._quiet.enter_context(unechoed())
            self._live.start()
        size = self._console.size
        self._live.update(Group(*frame(view, size.width, min(20, size.height - 2))), refresh=True)

    def close(self) -> None:
        if self._live.is_started:
            self._live.stop()
        self._quiet.close()


class _Plain:
    """Lines, for pipes and logs."""

    def __init__(self, *, stderr: bool) -> None:
        self._write = Lines(stderr=stderr).write
        self._plain: Plain | None = None

    def draw(self, view: RunView, events: Sequence[AnyEvent], now: float) -> None:
        self._plain = self._plain or Plain(sum(view.counts.values()), self._write)
        self._plain.take(events, view.created_at)
        self._plain.progress(view, now)

    def close(self) -> None:
        return


class JsonLines:
    """A line of JSON for each view that the service sends."""

    def __init__(self) -> None:
        self._shown: RunView | None = None

    def draw(self, view: RunView, events: Sequence[AnyEvent], now: float) -> None:
        del events, now
        if view is not self._shown:
            self._shown = view
            print_json(view)

    def close(self) -> None:
        return


def screen_for(*, stderr: bool) -> RemoteScreen:
    """A picture where there is a terminal to draw on, lines elsewhere."""
    return _Live(stderr=stderr) if drawable(stderr=stderr) else _Plain(stderr=stderr)


def watch(
    service: HttpClient,
    view: RunView,
    *,
    json: bool,
    after: int | None = None,
    screen: RemoteScreen | None = None,
    only: bool = False,
) -> int:
    """Show the run to its end, from now or from this event, then how it ended. Ctrl-C stops watching, not the run.

    With `only` nothing but the picture is wanted: when nobody reads it any more, it is over.
    """
    screen = screen or screen_for(stderr=json)
    try:
        view = _follow(service, view, screen, after, only)
    except KeyboardInterrupt:
        screen.close()
        note(f"stopped watching; run {view.run} goes on")
        return Exit.OK
    finally:
        screen.close()
    if only and standard_streams.unread():
        return Exit.OK
    if view.status not in RUN_ENDED:
        note(f"run {view.run} is {view.status}: {view.next}")
        return Exit.STOPPED
    print_json(view) if json else show_run(view)
    return exit_of(view)


def _follow(service: HttpClient, view: RunView, screen: RemoteScreen, after: int | None, only: bool) -> RunView:
    begun = False
    for heard in service.follow(view.run, after):
        if not (begun := begun or heard.kind != ""):
            continue  # a word that the stream is there; what it has to tell comes now
        fresh: list[AnyEvent] = []
        match heard.kind:
            case "lost":
                note(f"the connection to {service.url} is lost ({heard.data.decode()}); trying again")
                continue
            case "event":
                fresh.append(heard_event(heard)[1])
            case "snapshot" | "progress" | "end":
                view = decoded(heard.data, RunView)
        if heard.kind == "end" or (only and standard_streams.unread()):
            return view
        screen.draw(view, fresh, time.time())
    raise AssertionError("a stream that breaks is taken up again, or raises")
