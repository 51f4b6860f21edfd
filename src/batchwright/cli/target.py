"""Chooses the client of a command, a service or the local store, and finds the run that a command is about."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from batchwright.cli.options import equipped
from batchwright.cli.output import about, note
from batchwright.client.discovery import client_for
from batchwright.client.local import LocalClient
from batchwright.model.environment_selector import LATEST

if TYPE_CHECKING:
    from batchwright.client.base import Client
    from batchwright.views.run import RunView

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="The service to use; default: BATCHWRIGHT_URL, the config file, or one on this machine.",
    ),
]


def chosen(url: str | None, state_dir: Path | None, catalogues: Sequence[Path] | None = None) -> Client:
    """The client to use; prints which one it is. Raises UsageError, ConfigInvalid."""
    client = client_for(os.environ, url=url, state_dir=state_dir, catalogues=catalogues or (), equipped=equipped)
    if not isinstance(client, LocalClient):
        note(f"service {client.place}", "dim")
    elif sys.stderr.isatty():
        note(f"local store {client.place}", "dim")
    return client


@contextmanager
def chosen_run(
    word: str,
    url: str | None,
    state_dir: Path | None,
    catalogues: Sequence[Path] | None = None,
    *,
    destroys: bool = False,
) -> Iterator[tuple[Client, RunView]]:
    """The client and the current state of the run that `word` names. Hints show the full run id.

    `destroys`: the command destroys something, so that `latest` must not be ambiguous.
    """
    with chosen(url, state_dir, catalogues) as client:
        view = client.run(word, destroys=destroys)
        show_warnings(client)
        with about(RUN=view.run):
            yield client, view


def is_name_of(word: str, view: RunView) -> bool:
    """Whether the word that led to this run is the name of its environment."""
    return word.lower() != LATEST and not view.run.startswith(word.lower())


def show_warnings(client: Client) -> None:
    """Print what the client could not read, so that nobody takes a partial list for the whole one."""
    for line in client.warnings():
        note(line, "yellow")
