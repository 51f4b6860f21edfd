"""The command that opens the service's page in a browser, signed in: open."""

from __future__ import annotations

import os
import sys
import webbrowser
from typing import Annotated
from urllib.parse import quote

import typer

from batchwright.cli.exit_codes import Exit
from batchwright.cli.options import Json, NoColor, StateDir
from batchwright.cli.output import note, print_json, say
from batchwright.cli.target import Url
from batchwright.client.discovery import service_for
from batchwright.errors import ServiceUnavailable

Run = Annotated[str, typer.Argument(metavar="RUN", help="The run or environment to show; none: all of them.")]
PrintOnly = Annotated[bool, typer.Option("--print", help="Print the address only; open nothing.")]


def open_page(
    run: Run = "",
    print_only: PrintOnly = False,
    url: Url = None,
    state_dir: StateDir = None,
    json: Json = False,
    _no_color: NoColor = False,
) -> int:
    """Open the service's page in a browser, signed in as you. The address works once, for a minute."""
    service = service_for(os.environ, url=url, state_dir=state_dir)
    if service is None:
        raise ServiceUnavailable("no service is running here", hint="Start it first: batchwright serve")
    with service:
        found = service.opened_page()
        shown = f"ui/runs/{quote(service.run(run).run)}" if run else ""
    base = found.url.replace("://0.0.0.0:", "://127.0.0.1:").replace("://[::]:", "://[::1]:")
    address = f"{base}/{shown}" + (f"#code={found.code}" if found.code else "")
    if json:
        print_json({"url": address, "seconds": found.seconds})
        return Exit.OK
    if not print_only and sys.stdout.isatty() and _has_screen() and webbrowser.open(address):
        note(f"opened {base}/{shown}")
        return Exit.OK
    say(address)
    if found.code:
        note("it signs one browser in, once, within a minute")
    return Exit.OK


def _has_screen() -> bool:
    return sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
