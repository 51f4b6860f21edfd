"""Shell completion. It never raises: the shell would print the error into the line that is being typed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from batchwright.model.environment_selector import LATEST
from batchwright.model.lifecycle import RunState
from batchwright.user_home import expanded

if TYPE_CHECKING:
    from batchwright.client.base import Client, RunRow

OFFERED = 50  # runs offered, newest first
SECONDS = 1.0  # how long the shell waits for a service
FORMATS = (".ncl", ".json", ".yaml", ".yml", ".plan")

Offers = Iterator[tuple[str, str]]


def _quiet(complete: Callable[..., Offers]) -> Callable[..., list[tuple[str, str]]]:
    """Offer nothing if `complete` raises. The command itself reports the error."""

    def quiet(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
        try:
            return list(complete(ctx, incomplete))
        except Exception:
            return []

    return quiet


@_quiet
def runs(ctx: typer.Context, incomplete: str) -> Offers:
    """Run ids, each with its status and workflow as help text."""
    rows = _newest(ctx)
    for row in rows:
        if row.run.startswith(incomplete):
            yield row.run, f"{row.status}, {row.workflow} {row.version}"
    if rows and LATEST.startswith(incomplete):
        yield LATEST, "the newest run"
    for name in dict.fromkeys(row.environment for row in rows):
        if incomplete and name.startswith(incomplete):
            yield name, "the newest run of this environment"


@_quiet
def environments(ctx: typer.Context, incomplete: str) -> Offers:
    """The names of environments, each with its newest run as help text."""
    with _client(ctx) as client:
        for line in client.environments():
            if line.name.startswith(incomplete):
                yield line.name, f"{line.run}, {line.status}"


@_quiet
def states(_: typer.Context, incomplete: str) -> Offers:
    """The run statuses that begin with what was typed."""
    for state in RunState:
        word = state.value if state.value.startswith(incomplete) else state.lower()  # statuses match in any case
        if word.startswith(incomplete):
            yield word, ""


@_quiet
def files(_: typer.Context, incomplete: str) -> Offers:
    """Workflow files, plan files by their usual name, and the folders that lead to them."""
    folder, slash, start = incomplete.rpartition("/")
    place = folder + slash
    for entry in sorted(expanded(place or ".").iterdir()):
        if entry.name.startswith(start) and (start.startswith(".") or not entry.name.startswith(".")):
            if entry.is_dir():
                yield f"{place}{entry.name}/", ""
            elif entry.suffix.lower() in FORMATS:
                yield f"{place}{entry.name}", ""


def _newest(ctx: typer.Context) -> list[RunRow]:
    with _client(ctx) as client:
        return client.runs(most=OFFERED)


def _client(ctx: typer.Context) -> Client:
    from batchwright.client.discovery import client_for  # here, as every command names its completions

    state_dir = ctx.params.get("state_dir")
    folder = Path(state_dir) if state_dir else None
    return client_for(os.environ, url=ctx.params.get("url"), state_dir=folder, seconds=SECONDS)
