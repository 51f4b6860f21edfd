"""The commands for webhooks: webhooks list, resend."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Annotated

import typer

from batchwright.cli.exit_codes import Exit
from batchwright.cli.options import Json, NoColor, StateDir
from batchwright.cli.output import print_json, say
from batchwright.cli.target import Url, chosen, show_warnings
from batchwright.cli.view_printer import show_table
from batchwright.errors import UsageError
from batchwright.views.text_format import duration
from batchwright.views.webhook_message import DeliveryLine, DeliveryState

app = typer.Typer(help="Webhooks: who was told what, and sending messages again.")

OfRun = Annotated[str, typer.Argument(metavar="[RUN]", help="Only of this run or of an environment's newest run.")]
Which = Annotated[
    str, typer.Argument(metavar="[RUN[:EVENT]]", help="All messages about a run, or the one about this event.")
]
InState = Annotated[DeliveryState | None, typer.Option("--state", help="Only those in this state.")]
Failed = Annotated[bool, typer.Option("--failed", help="The messages that were given up, of this run or of all.")]


@app.command("list")
def list_deliveries(
    run: OfRun = "",
    state: InState = None,
    state_dir: StateDir = None,
    url: Url = None,
    json: Json = False,
    _no_color: NoColor = False,
) -> int:
    """List what each webhook was told about each run: delivered, still to be sent, given up, and the last answer."""
    with chosen(url, state_dir) as client:
        lines = [line for line in client.deliveries(run) if state in (None, line.state)]
        show_warnings(client)
    print_json({"webhooks": lines}) if json else _show(lines)
    return Exit.OK


@app.command("resend")
def resend(
    run: Which = "",
    failed: Failed = False,
    state_dir: StateDir = None,
    url: Url = None,
    json: Json = False,
    _no_color: NoColor = False,
) -> int:
    """Send messages again under their ids: all about a run, one (RUN:EVENT), or those that were given up."""
    word, event = _parts(run)
    with chosen(url, state_dir) as client:
        lines = client.resend(word, event, failed=failed)
    print_json({"webhooks": lines}) if json else _show(lines)
    return Exit.NO if any(line.failed for line in lines) else Exit.OK


def _parts(word: str) -> tuple[str, int]:
    """The run, and the number of the event or 0. Raises UsageError."""
    found = re.fullmatch(r"(.+):([0-9]{1,15})", word)
    if found is None:
        return word, 0
    if int(found[2]) < 1:
        raise UsageError("the events of a run are numbered from 1", hint="batchwright events RUN shows them.")
    return found[1], int(found[2])


def _show(lines: Sequence[DeliveryLine]) -> None:
    if not lines:
        say("no webhook was to be told anything")
        return
    rows = [
        (
            line.run,
            line.webhook,
            line.receiver,
            line.state.value,
            str(line.delivered),
            ", ".join(one.rpartition(":")[2] for one in line.failed),
            line.answer,
            _next(line),
        )
        for line in lines
    ]
    show_table(("run", "webhook", "receiver", "state", "delivered", "given up", "last answer", "next"), rows)


def _next(line: DeliveryLine) -> str:
    if line.state is not DeliveryState.RETRYING:
        return ""
    left = line.next - time.time()
    return f"in {duration(left)}" if left > 0 else "now"
