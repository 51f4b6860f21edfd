"""Commands that read runs: list, runs, status, events, explain, stats."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated

import typer
from msgspec import Struct

from batchwright import standard_streams
from batchwright.cli import completion
from batchwright.cli.environment_argument import EnvironmentArgument, environment_word
from batchwright.cli.environment_printer import show_environment
from batchwright.cli.exit_codes import Exit
from batchwright.cli.monitor import stopped
from batchwright.cli.options import (
    EnvironmentName,
    Json,
    NoColor,
    RunArgument,
    Simulate,
    StateDir,
    settings_of,
    window,
)
from batchwright.cli.output import print_json, say
from batchwright.cli.target import Url, chosen, chosen_run, is_name_of, show_warnings
from batchwright.cli.view_printer import show_archived, show_explanation, show_listing, show_run, show_stats, show_steps
from batchwright.client.base import Client
from batchwright.errors import RunArchived
from batchwright.model.events import AnyEvent
from batchwright.views.events import event_record, numbered_line
from batchwright.views.run import RunView
from batchwright.views.run_list import listing, state_named
from batchwright.views.steps import StepLine

LIMIT = 50

Status = Annotated[
    list[str] | None,
    typer.Option(
        "--status",
        metavar="STATUS",
        help="Only runs with this status, in any case; may be repeated.",
        autocompletion=completion.states,
    ),
]
Name = Annotated[str, typer.Option("--name", help="Only workflows whose name contains this.")]
OfEnvironment = Annotated[
    str,
    typer.Option(
        "--environment",
        metavar="ENV",
        help="Only runs of this environment: NAME or NAME/ENVIRONMENT, also after `simulated:` or `real:`.",
        autocompletion=completion.environments,
    ),
]
OnlyAsking = Annotated[bool, typer.Option("--asks", help="Only runs that wait for an answer.")]
Limit = Annotated[int, typer.Option("--limit", min=0, help="Maximum number, newest first; 0 for all.")]
WithSteps = Annotated[bool, typer.Option("--steps", help="Include every step.")]
Since = Annotated[
    str | None, typer.Option("--since", metavar="SPAN", help="Only runs created within this time: 90s, 30m, 24h, 7d.")
]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Continue until the run has ended.")]
StepArgument = Annotated[
    str, typer.Argument(metavar="STEP", help="A step id, or a unique part of one.", show_default=False)
]


class Everything(Struct, frozen=True):
    """The JSON document of `status --steps --json`."""

    run: RunView
    steps: tuple[StepLine, ...]


def list_runs(
    status: Status = None,
    name: Name = "",
    environment: OfEnvironment = "",
    asks: OnlyAsking = False,
    limit: Limit = LIMIT,
    state_dir: StateDir = None,
    url: Url = None,
    json: Json = False,
    _no_color: NoColor = False,
) -> int:
    """List all runs, newest first."""
    statuses = [state_named(word) for word in status or ()]
    with chosen(url, state_dir) as client:
        rows = [row for row in client.runs(statuses, name, environment=environment) if row.asks or not asks]
        show_warnings(client)
    driven = {row.run for row in rows if row.driven}
    view = listing(rows, driven, time.time(), limit=limit or None)
    print_json(view) if json else show_listing(view, client.place)
    return Exit.OK


def runs(
    environment: EnvironmentArgument,
    simulate: Simulate = False,
    env: EnvironmentName = None,
    status: Status = None,
    limit: Limit = LIMIT,
    state_dir: StateDir = None,
    url: Url = None,
    json: Json = False,
    _no_color: NoColor = False,
) -> int:
    """List the runs of an environment, newest first."""
    name = environment_word(environment, env, settings_of(state_dir), simulate=simulate)
    return list_runs(status, environment=name, limit=limit, state_dir=state_dir, url=url, json=json)


def status(
    run: RunArgument,
    steps: WithSteps = False,
    state_dir: StateDir = None,
    url: Url = None,
    json: Json = False,
    _no_color: NoColor = False,
) -> int:
    """Show a run or an environment, and what to do next.

    A run: what is done, running, waiting (and why) and failed. An environment: its servers and task services, which run
    is changing it, and which can be rolled back; with --steps, its newest run.
    """
    try:
        return _show_status(run, steps=steps, state_dir=state_dir, url=url, json=json)
    except RunArchived:
        with chosen(url, state_dir) as client:
            [row, *_] = [one for one in client.runs() if one.archive and one.run.startswith(run.lower())]
        print_json(row) if json else show_archived(row)
        return Exit.OK


def _show_status(run: str, *, steps: bool, state_dir: StateDir, url: Url, json: bool) -> int:
    with chosen_run(run, url, state_dir) as (client, view):
        if not steps and is_name_of(run, view):
            environment = client.environment(run)
            print_json(environment) if json else show_environment(environment)
            return Exit.OK
        lines = client.steps(view.run) if steps else ()
    if json:
        print_json(Everything(view, lines) if steps else view)
        return Exit.OK
    show_run(view)
    if steps:
        show_steps(lines)
    return Exit.OK


def events(
    run: RunArgument,
    follow: Follow = False,
    state_dir: StateDir = None,
    url: Url = None,
    json: Json = False,
    _no_color: NoColor = False,
) -> int:
    """Print the events of a run, in order. With --json one event per line, as in the journal."""
    with chosen_run(run, url, state_dir) as (client, view):

        def tell(seq: int, event: AnyEvent) -> None:
            if json:
                print_json(event_record(view.run, seq, event))
            else:
                say(numbered_line(view.created_at, seq, event))

        return tell_history(client, view.run, tell, follow=follow)


def tell_history(client: Client, run: str, tell: Callable[[int, AnyEvent], None], *, follow: bool) -> int:
    """Pass each event of a run to `tell`, in order. With `follow`, until the run ends or no process drives it."""
    last = 0
    try:
        for last, event in client.events(run):
            tell(last, event)
            if standard_streams.unread():
                return Exit.OK
        if not follow:
            return Exit.OK
        for update in client.follow(run, last):
            for seq, event in update.numbered:
                tell(seq, event)
            if standard_streams.unread():
                return Exit.OK
        return stopped(update.view)
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
    """Explain why a step ran, waited, was skipped, retried or undone."""
    with chosen_run(run, url, state_dir) as (client, view):
        explanation = client.explain(view.run, step)
    print_json(explanation) if json else show_explanation(explanation)
    return Exit.OK


def stats(
    since: Since = None, state_dir: StateDir = None, url: Url = None, json: Json = False, _no_color: NoColor = False
) -> int:
    """Statistics over all runs: outcomes, durations, and retries and throttling per provider."""
    if since:
        window(since)
    with chosen(url, state_dir) as client:
        view = client.stats(since)
        show_warnings(client)
    print_json(view) if json else show_stats(view)
    return Exit.OK
