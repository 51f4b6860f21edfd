"""The command `environments`."""

from __future__ import annotations

from batchwright.cli.environment_printer import show_environments
from batchwright.cli.exit_codes import Exit
from batchwright.cli.options import Json, NoColor, StateDir
from batchwright.cli.output import print_json
from batchwright.cli.target import Url, chosen, show_warnings


def environments(state_dir: StateDir = None, url: Url = None, json: Json = False, _no_color: NoColor = False) -> int:
    """List all environments: what each has, which run is changing it now, and its newest run."""
    with chosen(url, state_dir) as client:
        lines = client.environments()
        show_warnings(client)
    print_json({"environments": lines}) if json else show_environments(lines, client.place)
    return Exit.OK
