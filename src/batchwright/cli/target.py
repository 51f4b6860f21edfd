"""Whether a command asks a service or looks into the local store, and what the two have in common."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from batchwright.cli.options import settings_of
from batchwright.cli.output import note
from batchwright.client.discovery import service_for
from batchwright.client.http import HttpClient

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="The service to ask; else BATCHWRIGHT_URL, the config file, or one on this machine.",
    ),
]


def chosen(url: str | None, state_dir: Path | None) -> HttpClient | None:
    """The service to ask, None for the local store; which of them it is, is shown. Raises UsageError, ConfigInvalid."""
    service = service_for(os.environ, url=url, state_dir=state_dir)
    if service is not None:
        note(f"service {service.url}", "dim")
    elif sys.stderr.isatty():
        note(f"local store {settings_of(state_dir).state_dir}", "dim")
    return service
