"""The command `check`: runs the health checks of a run's task services again."""

from __future__ import annotations

from batchwright.cli.exit_codes import Exit
from batchwright.cli.options import Json, NoColor, RunArgument, StateDir
from batchwright.cli.output import print_json
from batchwright.cli.target import Url, chosen_run
from batchwright.cli.taskserv_status_printer import show_conditions


def check(
    run: RunArgument, state_dir: StateDir = None, url: Url = None, json: Json = False, _no_color: NoColor = False
) -> int:
    """Run the checks of a run's task services again. Exit code 0: all healthy; 2: drift, or a server unreachable."""
    with chosen_run(run, url, state_dir) as (client, view):
        found = client.checks(view.run)
    print_json(found) if json else show_conditions(found)
    return Exit.OK if found.ok else Exit.COULD_NOT
