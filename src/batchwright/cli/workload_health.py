"""The command `check`: looks again whether the task services and the checks of a run are well."""

from __future__ import annotations

from batchwright.cli.exit_codes import Exit
from batchwright.cli.options import Json, NoColor, RunArgument, StateDir
from batchwright.cli.output import print_json
from batchwright.cli.target import Url, chosen_run
from batchwright.cli.workload_health_printer import show_health


def check(
    run: RunArgument, state_dir: StateDir = None, url: Url = None, json: Json = False, _no_color: NoColor = False
) -> int:
    """Look again whether a run's task services and checks are well. Exit code 0: they are; 2: something is not."""
    with chosen_run(run, url, state_dir) as (client, view):
        found = client.checks(view.run)
    print_json(found) if json else show_health(found)
    return Exit.OK if found.ok else Exit.COULD_NOT
