"""Commands about task services on servers: the output of a step, and whether what is installed is still well."""

from __future__ import annotations

from batchwright.cli.exit_codes import Exit
from batchwright.cli.options import Json, NoColor, RunArgument, StateDir
from batchwright.cli.output import print_json
from batchwright.cli.runs import Follow, StepArgument, tell_history
from batchwright.cli.target import Url, chosen_run
from batchwright.cli.taskserv_text import show_conditions, show_log
from batchwright.views.logs import StepLog


def logs(
    run: RunArgument,
    step: StepArgument,
    follow: Follow = False,
    state_dir: StateDir = None,
    url: Url = None,
    json: Json = False,
    _no_color: NoColor = False,
) -> int:
    """What a step has said: the output of its installs and removals, attempt by attempt."""
    with chosen_run(run, url, state_dir) as (client, view):
        log = StepLog(client.explain(view.run, step).step, view.created_at)
        return tell_history(client, view.run, lambda _seq, event: show_log(log.take(event), json=json), follow=follow)


def check(
    run: RunArgument, state_dir: StateDir = None, url: Url = None, json: Json = False, _no_color: NoColor = False
) -> int:
    """Run the checks of all task services of a run again. Exit code 0: all well; 2: drift, or a server out of reach."""
    with chosen_run(run, url, state_dir) as (client, view):
        found = client.checks(view.run)
    print_json(found) if json else show_conditions(found)
    return Exit.OK if found.ok else Exit.COULD_NOT
