"""The command `logs`: prints the output of a step."""

from __future__ import annotations

from batchwright.cli.options import Json, NoColor, RunArgument, StateDir
from batchwright.cli.run_queries import Follow, StepArgument, tell_history
from batchwright.cli.target import Url, chosen_run
from batchwright.cli.view_printer import show_log
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
    """Print the output of a step: of its installs and removals, attempt by attempt."""
    with chosen_run(run, url, state_dir) as (client, view):
        log = StepLog(client.explain(view.run, step).step, view.created_at)
        return tell_history(client, view.run, lambda _seq, event: show_log(log.take(event), json=json), follow=follow)
