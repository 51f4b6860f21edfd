"""Commands about task services on servers: the output of a step, and whether what is installed is still well."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from batchwright.app.run_reader import OpenedRun
from batchwright.app.system_clock import SystemClock
from batchwright.app.taskserv_health import check_run
from batchwright.cli import remote_runs
from batchwright.cli.exit_codes import Exit
from batchwright.cli.options import Json, NoColor, RunArgument, StateDir, settings_of
from batchwright.cli.output import print_json
from batchwright.cli.runs import Follow, StepArgument, tell_history, with_sight
from batchwright.cli.target import Url, chosen
from batchwright.cli.taskserv_text import show_conditions, show_log
from batchwright.model.events import AnyEvent
from batchwright.model.run import Run
from batchwright.views.conditions import Conditions
from batchwright.views.logs import StepLog
from batchwright.views.steps import step_named


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
    if service := chosen(url, state_dir):
        return remote_runs.logs(service, run, step, follow=follow, json=json)

    def teller(own: Run) -> Callable[[int, AnyEvent], None]:
        log = StepLog(step_named(own, step), own.created_at)
        return lambda _seq, event: show_log(log.take(event), json=json)

    return tell_history(state_dir, run, teller, follow=follow)


def check(
    run: RunArgument, state_dir: StateDir = None, url: Url = None, json: Json = False, _no_color: NoColor = False
) -> int:
    """Run the checks of all task services of a run again. Exit code 0: all well; 2: drift, or a server out of reach."""
    if service := chosen(url, state_dir):
        return told(remote_runs.checks(service, run), json=json)

    async def use(sight: OpenedRun) -> int:
        return told(await check_run(settings_of(state_dir), SystemClock(), sight.run), json=json)

    return asyncio.run(with_sight(state_dir, run, use))


def told(found: Conditions, *, json: bool) -> int:
    """Show how the task services are; the exit code says it too."""
    print_json(found) if json else show_conditions(found)
    return Exit.OK if found.ok else Exit.COULD_NOT
