"""The command `trace`: a run as a trace in OpenTelemetry's protocol."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from batchwright import __version__
from batchwright.cli.exit_codes import Exit
from batchwright.cli.options import Json, NoColor, RunArgument, StateDir
from batchwright.cli.output import print_json, say
from batchwright.cli.target import Url, chosen_run
from batchwright.errors import UsageError
from batchwright.user_home import expanded
from batchwright.views.otlp import export_request
from batchwright.views.text_format import counted
from batchwright.views.trace import spans_of

SPANS_PER_LINE = 500  # so that each line is a body that a collector takes

Otlp = Annotated[
    Path,
    typer.Option("--otlp", metavar="FILE", help="Where to write it: OTLP in JSON, one export on each line."),
]


def trace(
    run: RunArgument,
    otlp: Otlp,
    state_dir: StateDir = None,
    url: Url = None,
    json: Json = False,
    _no_color: NoColor = False,
) -> int:
    """Write a run as a trace for OpenTelemetry: a span for each step and each call to a provider that has ended."""
    file, spans = expanded(otlp), 0
    with chosen_run(run, url, state_dir) as (client, view):
        found = (span for _, span in spans_of(client.events(view.run)))
        try:
            with file.open("wb") as lines:
                while batch := list(islice(found, SPANS_PER_LINE)):
                    spans += len(batch)
                    lines.write(msgspec.json.encode(export_request(batch, __version__)) + b"\n")
        except OSError as error:
            raise UsageError(f"{file} cannot be written: {error.strerror}", hint="Name another file.") from error
    if json:
        print_json({"run": view.run, "file": str(file), "spans": spans})
        return Exit.OK
    say(f"{counted(spans, 'span')} of run {view.run} written to {file}")
    say("send it: curl -H 'Content-Type: application/json' --data-binary @LINE http://localhost:4318/v1/traces")
    return Exit.OK
