"""Shows a run until it ends: the command `monitor`, and what every command that drives a run does then."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing

from batchwright import standard_streams
from batchwright.app.planned import Planned
from batchwright.cli.approval_prompt import QuestionPrompt
from batchwright.cli.exit_codes import Exit, exit_of
from batchwright.cli.options import Json, NoColor, RunArgument, StateDir
from batchwright.cli.output import about, note, print_json, say, show_diagnostics
from batchwright.cli.progress_display import JsonDisplay, NullDisplay, ProgressDisplay, display_for
from batchwright.cli.target import Url, chosen_run, show_warnings
from batchwright.cli.view_printer import show_brief, show_end, show_run
from batchwright.client.base import Client
from batchwright.client.driven_progress import DrivenProgress
from batchwright.client.progress import Progress, WatchedProgress
from batchwright.errors import StoreError
from batchwright.model.lifecycle import RUN_ENDED
from batchwright.views.plan import plan_view
from batchwright.views.progress_update import ProgressUpdate
from batchwright.views.run import RunView
from batchwright.views.text_format import counted
from batchwright.views.webhook_message import UNDELIVERED_HINT, undelivered_words


def monitor(
    run: RunArgument, state_dir: StateDir = None, url: Url = None, json: Json = False, _no_color: NoColor = False
) -> int:
    """Watch a run that another process drives, live. Ctrl-C stops watching, not the run."""
    with chosen_run(run, url, state_dir) as (client, view):
        display = JsonDisplay() if json else display_for(stderr=False)
        watched = WatchedProgress(client.follow(view.run), "")
        return show_progress(client, watched, view.run, display, json=json, only=True)


def shown_from_start(client: Client, planned: Planned, run: str, progress: Progress, *, json: bool) -> int:
    """Show what a run that was just created will do, then the run."""
    assert planned.plan is not None
    show_warnings(client)
    if not json:
        show_diagnostics(planned.diagnostics)
        show_brief(plan_view(planned.plan))
    (note if json else say)(f"run {run}")
    with about(RUN=run):
        return shown(client, progress, run, json=json)


def shown(client: Client, progress: Progress, run: str, *, json: bool, told: str = "") -> int:
    """Show a run while it goes on, then its end and how long it took."""
    began = time.time()

    def ending(view: RunView) -> None:
        show_end(view, time.time() - began)

    return show_progress(client, progress, run, display_for(stderr=json), json=json, told=told, ending=ending)


def show_progress(
    client: Client,
    progress: Progress,
    run: str,
    display: ProgressDisplay,
    *,
    json: bool,
    only: bool = False,
    told: str = "",
    ending: Callable[[RunView], None] = show_run,
) -> int:
    """Show the run until it ends, then print how it ended. `told` is the message printed once the run goes on.

    Ctrl-C stops watching if another process drives the run, and cancels the run if this process does. With `only`, just
    the picture is wanted: it stops when nobody reads the output any more.
    """
    last: ProgressUpdate | None = None
    safe = _SafeDisplay(display)
    asking = None
    if isinstance(progress, DrivenProgress):
        asking = QuestionPrompt(client, run, terminal=not json and QuestionPrompt.on_terminal())
    with progress, closing(safe):
        while True:
            try:
                for update in progress:
                    if update.lost:
                        safe.tell(f"the connection to {client.place} is lost ({update.lost}); trying again")
                        continue
                    if last is None and told:
                        note(told)
                    last = update
                    if asking is not None:
                        if asking.is_due(update):
                            safe.close()
                        asking.take()
                    if asking is None or not asking.active:
                        safe.draw(update, time.time())
                    if only and standard_streams.unread():
                        return Exit.OK
                break
            except KeyboardInterrupt:
                if words := progress.interrupt():
                    safe.tell(words)
                elif not progress.left:
                    safe.close()
                    note(f"stopped watching; run {run} continues")
                    return Exit.OK
    if progress.left:
        return _left(run, last, json=json)
    assert last is not None
    view = last.view
    code = stopped(view)
    if code is Exit.OK:
        print_json(view) if json else ending(view)
        code = exit_of(view)
    if not progress.driver:
        _note_undelivered(client, run)
    return code


def _note_undelivered(client: Client, run: str) -> None:
    """Wait a few seconds for the webhooks of a run that was driven here, and say what is left. Ctrl-C ends the wait."""
    try:
        lines = client.undelivered(run)
    except KeyboardInterrupt:
        note(f"webhooks of run {run} may not be told everything yet: batchwright webhooks list {run}")
        return
    except StoreError as error:
        note(f"webhooks of run {run} may not be told everything yet: {error.message}", "yellow")
        return
    for line in lines:
        note(undelivered_words(line), "yellow")
    if lines:
        note(f"{counted(len(lines), 'webhook')} left: {UNDELIVERED_HINT.format(run=run)}")


class _SafeDisplay:
    """Wraps a screen so that a failing display never stops the run."""

    def __init__(self, display: ProgressDisplay) -> None:
        self._display = display

    def draw(self, update: ProgressUpdate, now: float) -> None:
        try:
            self._display.draw(update, now)
        except Exception as error:
            self._display = NullDisplay()
            note(f"error: the display failed, the run continues: {type(error).__name__}: {error} [bug]", "red")

    def tell(self, line: str) -> None:
        self._display.tell(line)

    def close(self) -> None:
        self._display.close()


def _left(run: str, last: ProgressUpdate | None, *, json: bool) -> Exit:
    if last is None:
        note(f"interrupted before anything started; continue with: batchwright resume {run}")
        return Exit.LEFT
    view = last.view
    flying = len(view.running) + view.running_more
    doubt = f" with {flying} in flight (resume finds out how they ended)" if flying else ""
    note(f"left: run {run} is {view.status}{doubt}; continue with: batchwright resume {run}")
    if json:
        print_json(view)
    return Exit.LEFT


def stopped(view: RunView) -> Exit:
    """OK for a run that has ended. For a run that no process drives, also print what to do next."""
    if view.status in RUN_ENDED:
        return Exit.OK
    note(f"run {view.run} is {view.status}: {view.next}")
    return Exit.STOPPED
