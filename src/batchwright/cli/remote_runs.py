"""What a service is asked to do with a run: pause, resume, cancel, roll back."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from batchwright.cli.exit_codes import Exit
from batchwright.cli.monitor import show_rest
from batchwright.cli.output import about, confirm, note, print_json, say, unasked
from batchwright.cli.screen import screen_for
from batchwright.cli.text import show_preview
from batchwright.client.http import HttpClient


def ask(service: HttpClient, word: str, verb: str, *, json: bool, force: bool = False) -> int:
    """Ask for something that is not waited for: pause, cancel."""
    with about(RUN=word):
        view = service.act(word, verb, force=force)
    if json:
        print_json({"run": view.run, "asked": verb, "driver": service.url})
    else:
        say(f"asked the service to {verb} run {view.run}")
        say(f"next: batchwright monitor {view.run}")
    return Exit.OK


def resume(service: HttpClient, word: str, *, json: bool, redo: Sequence[str] = (), skip: Sequence[str] = ()) -> int:
    """Let a run go on, and watch it."""
    with about(RUN=word):
        view = service.act(word, "resume", redo=redo, skip=skip)
        note(f"run {view.run}: {view.workflow} {view.version}")
        return show_rest(service, service.follow(view.run), view, screen_for(stderr=json), json=json)


def rollback(service: HttpClient, word: str, *, only_plan: bool, yes: bool, json: bool) -> int:
    """Undo what a run made, and watch it."""
    with about(RUN=word):
        run = service.run(word).run
        if only_plan:
            undos = service.undo(run)
            print_json({"run": run, "undo": undos}) if json else show_preview(run, undos)
            return Exit.OK
        if not yes and not sys.stdin.isatty():
            raise unasked()
        if not yes:
            show_preview(run, service.undo(run), to_stderr=True)
            if not confirm("Undo this?"):
                note("nothing was changed")
                return Exit.STOPPED
        view = service.act(run, "rollback")
        note(f"run {run}: rolling back {view.workflow} {view.version}")
        return show_rest(service, service.follow(view.run), view, screen_for(stderr=json), json=json)
