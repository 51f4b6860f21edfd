"""What the shell offers for a word that is being typed. Never an error: a shell shows it in the middle of the line."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import typer

from batchwright.client.base import RunRow
from batchwright.client.discovery import client_for
from batchwright.model.lifecycle import RunState
from batchwright.user_home import expanded

OFFERED = 50  # runs, the newest
SECONDS = 1.0  # that the shell waits for a service
FORMATS = (".ncl", ".json", ".yaml", ".yml")

Offers = Iterator[tuple[str, str]]


def _quiet(complete: Callable[..., Offers]) -> Callable[..., list[tuple[str, str]]]:
    """Offer nothing when it goes wrong; the command itself says what is wrong."""

    def quiet(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
        try:
            return list(complete(ctx, incomplete))
        except Exception:
            return []

    return quiet


@_quiet
def runs(ctx: typer.Context, incomplete: str) -> Offers:
    """Ids of runs with how each is."""
    rows = _newest(ctx)
    for row in rows:
        if row.run.startswith(incomplete):
            yield row.run, f"{row.status}, {row.workflow} {row.version}"
    if rows and "latest".startswith(incomplete):
        yield "latest", "the newest run"


@_quiet
def states(_: typer.Context, incomplete: str) -> Offers:
    """The states of a run."""
    for state in RunState:
        word = state.value if state.value.startswith(incomplete) else state.lower()  # any case is understood
        if word.startswith(incomplete):
            yield word, ""


@_quiet
def files(_: typer.Context, incomplete: str) -> Offers:
    """Workflow files, and folders on the way to them."""
    folder, slash, start = incomplete.rpartition("/")
    place = folder + slash
    for entry in sorted(expanded(place or ".").iterdir()):
        if entry.name.startswith(start) and (start.startswith(".") or not entry.name.startswith(".")):
            if entry.is_dir():
                yield f"{place}{entry.name}/", ""
            elif entry.suffix.lower() in FORMATS:
                yield f"{place}{entry.name}", ""


def _newest(ctx: typer.Context) -> list[RunRow]:
    state_dir = ctx.params.get("state_dir")
    folder = Path(state_dir) if state_dir else None
    with client_for(os.environ, url=ctx.params.get("url"), state_dir=folder, seconds=SECONDS) as client:
        return client.runs(most=OFFERED)
