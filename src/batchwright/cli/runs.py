"""Commands that only look: list, status, monitor, events, explain, stats."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from msgspec import Struct

from batchwright import standard_streams
from batchwright.app.run_reader import OpenedRun, all_runs, history, look
from batchwright.app.stores import Stores
from batchwright.app.system_clock import SystemClock
from batchwright.cli import completion, remote_runs
from batchwright.cli.exit_codes import Exit, exit_of
from batchwright.cli.options import Json, NoColor, RunArgument, StateDir, settings_of, window
from batchwright.cli.output import about, note, print_json, say
from batchwright.cli.screen import DRAW_SECONDS, JsonScreen, Screen, screen_for
from batchwright.cli.target import Url, chosen
from batchwright.cli.text import show_explanation, show_listing, show_run, show_stats, show_steps
from batchwright.model.events import AnyEvent
from batchwright.model.run import Run
from batchwright.views.events import event_line, event_record
from batchwright.views.explain import explain
from batchwright.views.listing import listing, state_named
from batchwright.views.run import RunView, next_action, run_view
from batchwright.views.stats import stats_view
from batchwright.views.steps import StepLine, step_lines, step_named
from batchwright.views.waiting import Circumstances
from batchwright.views.wording import duration

LIMIT = 50

Status = Annotated[
    list[str] | None,
    typer.Option(
        "--status",
        metavar="STATUS",
        help="Only these, in any case; may be repeated.",
        autocompletion=completion.states,
    ),
]
Name = Annotated[str, typer.Option("--name", help="Only workflows with this in their name.")]
Limit = Annotated[int, typer.Option("--limit", min=0, help="At most so many, newest first; 0 for all.")]
WithSteps = Annotated[bool, typer.Option("--steps", help="Every step too.")]
Since = Annotated[str | None, typer.Option("--since", metavar="SPAN", help="Runs created within: 90s, 30m, 24h, 7d.")]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")]
StepArgument = Annotated[
    str, typer.Argument(metavar="STEP", help="A step's id, or any part of it that only one has.", show_default=False)
]


class Everything(Struct, frozen=True):
    """What `status --steps --json` prints."""

    run: RunView
    steps: tuple[StepLine, ...]


async def with_sight(state_dir: Path | None, word: str, use: Callable[[OpenedRun], Awaitable[int]]) -> int:
    """Open the stores, find the run, use it."""
    async with Stores(settings_of(state_dir)) as stores:
        sight = await look(stores, word, SystemClock())
        note_troubles(stores)
        with about(RUN=sight.run.id):
            return await use(sight)


def note_troubles(stores: Stores) -> None:
    """Say which stores could not be looked into, so that a short list is not taken for a whole one."""
    for name, error in stores.troubles.items():
        note(f"the store {name} is left out: {error.message}")
    if stores.is_copy:
        note("the state folder cannot be written: this is how it was a moment ago", "yellow")


def list_runs(
    status: Status = None,
    name: Name = "",
    limit: Limit = LIMIT,
    state_dir: StateDir = None,
    url: Url = None,
    json: Json = False,
    _no_color: NoColor = False,
) -> int:
    """All runs, newest first."""
    statuses = [state_named(word) for word in status or ()]
    if service := chosen(url, state_dir):
        return remote_runs.list_runs(service, statuses, name, limit, json=json)

    async def work() -> int:
        async with Stores(settings_of(state_dir)) as stores:
            summaries, driven = await all_runs(stores, SystemClock(), partial=True)
            note_troubles(stores)
        now = SystemClock().now()
        view = listing(summaries, driven, now, statuses=statuses, name=name, limit=limit or None)
        print_json(view) if json else show_listing(view, str(settings_of(state_dir).state_dir))
        return Exit.OK

    return asyncio.run(work())


def status(
    run: RunArgument,
    steps: WithSteps = False,
    state_dir: StateDir = None,
    url: Url = None,
    json: Json = False,
    _no_color: NoColor = False,
) -> int:
    """How a run is: what is done, what runs, what waits and why, what failed, what to do next."""
    if service := chosen(url, state_dir):
        return remote_runs.status(service, run, steps=steps, json=json)

    async def use(sight: OpenedRun) -> int:
        now = SystemClock().now()
        view = run_view(sight.run, now, around=Circumstances(sight.driven), store=sight.journal.name)
        lines = step_lines(sight.run, now) if steps else ()
        if json:
            print_json(Everything(view, lines) if steps else view)
            return Exit.OK
        show_run(view)
        if steps:
            show_steps(lines)
        return Exit.OK

    return asyncio.run(with_sight(state_dir, run, use))


def monitor(
    run: RunArgument, state_dir: StateDir = None, url: Url = None, json: Json = False, _no_color: NoColor = False
) -> int:
    """Watch a run that another process drives, live. Ctrl-C stops watching, not the run."""
    if service := chosen(url, state_dir):
        return remote_runs.monitor(service, run, json=json)

    async def use(sight: OpenedRun) -> int:
        screen: Screen = JsonScreen() if json else screen_for(stderr=False)
        try:
            await watch(sight, screen)
        finally:
            screen.close()
        if standard_streams.unread():
            return Exit.OK
        if not sight.over:
            note(f"run {sight.run.id} is {sight.run.status}: {next_action(sight.run, driven=False)}")
            return Exit.STOPPED
        view = run_view(sight.run, SystemClock().now(), store=sight.journal.name)
        print_json(view) if json else show_run(view)
        return exit_of(sight.run)

    try:
        return asyncio.run(with_sight(state_dir, run, use))
    except KeyboardInterrupt:
        note("stopped watching; the run goes on")
        return Exit.OK


async def watch(sight: OpenedRun, screen: Screen) -> None:
    """Draw until the run is over or nobody drives it."""
    clock = SystemClock()
    fresh: list[AnyEvent] = []
    while True:
        screen.draw(sight.run, fresh, Circumstances(sight.driven), clock.now())
        if sight.over or not sight.driven or standard_streams.unread():
            return
        await clock.sleep(DRAW_SECONDS)
        fresh = await sight.refresh(clock.now())


def events(
    run: RunArgument,
    follow: Follow = False,
    state_dir: StateDir = None,
    url: Url = None,
    json: Json = False,
    _no_color: NoColor = False,
) -> int:
    """What happened in a run, in order. With --json one event a line, as the journal holds it."""
    if service := chosen(url, state_dir):
        return remote_runs.events(service, run, follow=follow, json=json)

    def tell(run: Run, seq: int, event: AnyEvent) -> None:
        if json:
            print_json(event_record(run.id, seq, event))
        else:
            say(f"{seq:>7}  {'+' + duration(event.at - run.created_at):>12}  {event_line(event)}")

    return tell_history(state_dir, run, lambda own: partial(tell, own), follow=follow)


def tell_history(
    state_dir: Path | None, word: str, teller: Callable[[Run], Callable[[int, AnyEvent], None]], *, follow: bool
) -> int:
    """Tell each event of a run in order; with `follow` those to come too, until it is over or nobody drives it."""

    async def use(sight: OpenedRun) -> int:
        clock, own = SystemClock(), sight.run
        tell, last = teller(own), 0
        while True:
            async for seq, event in history(sight.journal, own.id, last):
                last = seq
                tell(seq, event)
                if standard_streams.unread():
                    return Exit.OK
            if not follow or sight.over or not sight.driven:
                break
            await clock.sleep(DRAW_SECONDS)
            await sight.refresh(clock.now())
        if follow and not sight.over:
            note(f"run {own.id} is {own.status}: {next_action(own, driven=False)}")
            return Exit.STOPPED
        return Exit.OK

    try:
        return asyncio.run(with_sight(state_dir, word, use))
    except KeyboardInterrupt:
        return Exit.OK


def explain_step(
    run: RunArgument,
    step: StepArgument,
    state_dir: StateDir = None,
    url: Url = None,
    json: Json = False,
    _no_color: NoColor = False,
) -> int:
    """Why a step ran, waited, was skipped, retried or undone."""
    if service := chosen(url, state_dir):
        return remote_runs.explain_step(service, run, step, json=json)

    async def use(sight: OpenedRun) -> int:
        named = step_named(sight.run, step)
        past = [event async for seq, event in history(sight.journal, sight.run.id) if seq <= sight.run.seq]
        view = explain(sight.run, past, named, SystemClock().now(), Circumstances(sight.driven))
        print_json(view) if json else show_explanation(view)
        return Exit.OK

    return asyncio.run(with_sight(state_dir, run, use))


def stats(
    since: Since = None, state_dir: StateDir = None, url: Url = None, json: Json = False, _no_color: NoColor = False
) -> int:
    """All runs in numbers: how they ended, how long they took, retries and throttling per provider."""
    span = window(since) if since else None
    if service := chosen(url, state_dir):
        return remote_runs.stats(service, since, json=json)

    async def work() -> int:
        async with Stores(settings_of(state_dir)) as stores:
            summaries, _ = await all_runs(stores, SystemClock(), partial=True)
            note_troubles(stores)
        view = stats_view(summaries, SystemClock().now() - span if span is not None else 0.0)
        print_json(view) if json else show_stats(view)
        return Exit.OK

    return asyncio.run(work())
