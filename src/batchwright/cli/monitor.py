"""monitor: a run that another process drives, shown to its end; other commands end with it too."""

from __future__ import annotations

import time
from collections.abc import Iterable

from batchwright import standard_streams
from batchwright.cli.exit_codes import Exit, exit_of
from batchwright.cli.options import Json, NoColor, RunArgument, StateDir
from batchwright.cli.output import note, print_json
from batchwright.cli.screen import JsonScreen, Screen, screen_for
from batchwright.cli.target import Url, chosen_run
from batchwright.cli.text import show_run
from batchwright.client.base import Client
from batchwright.model.lifecycle import RUN_ENDED
from batchwright.views.run import RunView
from batchwright.views.update import Update


def monitor(
    run: RunArgument, state_dir: StateDir = None, url: Url = None, json: Json = False, _no_color: NoColor = False
) -> int:
    """Watch a run that another process drives, live. Ctrl-C stops watching, not the run."""
    with chosen_run(run, url, state_dir) as (client, view):
        screen = JsonScreen() if json else screen_for(stderr=False)
        return show_rest(client, client.follow(view.run), view, screen, json=json, only=True)


def show_rest(
    client: Client, updates: Iterable[Update], view: RunView, screen: Screen, *, json: bool, only: bool = False
) -> int:
    """Show the run to its end, then how it ended. Ctrl-C stops watching, not the run.

    With `only` nothing but the picture is wanted: when nobody reads it any more, it is over.
    """
    try:
        for update in updates:
            if update.lost:
                screen.tell(f"the connection to {client.place} is lost ({update.lost}); trying again")
                continue
            screen.draw(update, time.time())
            if only and standard_streams.unread():
                return Exit.OK
        view = update.view
    except KeyboardInterrupt:
        screen.close()
        note(f"stopped watching; run {view.run} goes on")
        return Exit.OK
    finally:
        screen.close()
    if (code := stopped(view)) is not Exit.OK:
        return code
    print_json(view) if json else show_run(view)
    return exit_of(view)


def stopped(view: RunView) -> Exit:
    """OK for a run that has ended; one that nobody drives goes no further, which is said with what to do about it."""
    if view.status in RUN_ENDED:
        return Exit.OK
    note(f"run {view.run} is {view.status}: {view.next}")
    return Exit.STOPPED
