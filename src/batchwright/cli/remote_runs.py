"""The commands about runs, carried out by a service: the same views, drawn as those of the local store are."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence

from batchwright import standard_streams
from batchwright.cli.exit_codes import Exit
from batchwright.cli.output import about, confirm, note, print_json, say, unasked
from batchwright.cli.remote_screen import JsonLines, watch
from batchwright.cli.taskserv_text import show_log
from batchwright.cli.text import (
    show_explanation,
    show_listing,
    show_preview,
    show_run,
    show_stats,
    show_steps,
)
from batchwright.client.http import HttpClient, heard_event
from batchwright.model.events import AnyEvent
from batchwright.model.lifecycle import RUN_ENDED, RunState
from batchwright.views.conditions import Conditions
from batchwright.views.events import event_line, event_record
from batchwright.views.listing import listing
from batchwright.views.logs import StepLog
from batchwright.views.wording import duration


def list_runs(service: HttpClient, statuses: Sequence[RunState], name: str, limit: int, *, json: bool) -> int:
    """All runs, newest first."""
    rows = service.runs(statuses, name)
    driven = {row.run for row in rows if row.driven}
    view = listing(rows, driven, time.time(), limit=limit or None)
    print_json(view) if json else show_listing(view, service.url)
    return Exit.OK


def status(service: HttpClient, word: str, *, steps: bool, json: bool) -> int:
    """How a run is."""
    with about(RUN=word):
        view = service.run(word)
        lines = service.steps(view.run) if steps else ()
    if json:
        print_json({"run": view, "steps": lines} if steps else view)
        return Exit.OK
    show_run(view)
    if steps:
        show_steps(lines)
    return Exit.OK


def monitor(service: HttpClient, word: str, *, json: bool) -> int:
    """Watch a run live."""
    with about(RUN=word):
        return watch(service, service.run(word), json=json, screen=JsonLines() if json else None, only=True)


def events(service: HttpClient, word: str, *, follow: bool, json: bool) -> int:
    """What happened in a run, in order."""
    with about(RUN=word):
        view = service.run(word)
        try:
            for seq, event in _told(service, view.run, follow=follow):
                if json:
                    print_json(event_record(view.run, seq, event))
                else:
                    say(f"{seq:>7}  {'+' + duration(event.at - view.created_at):>12}  {event_line(event)}")
        except KeyboardInterrupt:
            return Exit.OK
        if follow and not standard_streams.unread() and (view := service.run(view.run)).status not in RUN_ENDED:
            note(f"run {view.run} is {view.status}: {view.next}")
            return Exit.STOPPED
    return Exit.OK


def _told(service: HttpClient, run: str, *, follow: bool) -> Iterator[tuple[int, AnyEvent]]:
    last = 0
    for last, event in service.events(run):
        yield last, event
        if standard_streams.unread():
            return
    for heard in service.follow(run, last) if follow else ():
        if heard.kind == "event":
            yield heard_event(heard)
        if standard_streams.unread():
            return


def logs(service: HttpClient, word: str, step: str, *, follow: bool, json: bool) -> int:
    """What a step has said."""
    with about(RUN=word):
        view = service.run(word)
        log = StepLog(service.explain(view.run, step).step, view.created_at)
        try:
            for _, event in _told(service, view.run, follow=follow):
                show_log(log.take(event), json=json)
        except KeyboardInterrupt:
            pass
    return Exit.OK


def checks(service: HttpClient, word: str) -> Conditions:
    """The checks of a run's task services, run again."""
    with about(RUN=word):
        return service.checks(word)


def explain_step(service: HttpClient, word: str, step: str, *, json: bool) -> int:
    """Why a step ran, waited, was skipped, retried or undone."""
    with about(RUN=word):
        view = service.explain(word, step)
    print_json(view) if json else show_explanation(view)
    return Exit.OK


def stats(service: HttpClient, since: str | None, *, json: bool) -> int:
    """All runs in numbers."""
    view = service.stats(since)
    print_json(view) if json else show_stats(view)
    return Exit.OK


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
        return watch(service, view, json=json)


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
        return watch(service, view, json=json)
