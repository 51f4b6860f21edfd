"""The console entry point: lists the commands and reports every error."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import cache
from typing import Annotated, Any, NoReturn

import typer
from typer.main import get_command

from batchwright import __version__, resource_exhaustion, standard_streams
from batchwright.cli import (
    approvals,
    destroy,
    drift,
    emulate,
    environments,
    gc,
    local,
    logs,
    monitor,
    open_page,
    plan,
    policy,
    providers,
    run,
    run_control,
    run_queries,
    schema,
    servers,
    service_state,
    store,
    submit,
    taskservs,
    token,
    validate,
    webhooks,
    workload_health,
)
from batchwright.cli.exit_codes import Exit
from batchwright.cli.output import note, print_json, say, show_diagnostics, show_error
from batchwright.errors import BatchwrightError, PlanChanged, PlanRefused, UsageError
from batchwright.model.diagnostic import Diagnostic
from batchwright.printable import PrintableFormatter, printable

# Typer vendors Click or uses the installed one: this is the base class of either
_CommandProblem = typer.BadParameter.__mro__[2]

NAME = "batchwright"
GONE = "Change to an existing folder (cd), or use absolute paths."

app = typer.Typer(
    name=NAME,
    help="Batch workflows of infrastructure operations: typed, planned, parallel, crash-safe, reversible.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

BEFORE, RUNS, LOOKING, OFFERS = "Check and plan", "Run and undo", "Observe", "Servers, providers, stores"
SERVICE = "The service"
COMMANDS: tuple[tuple[str, Callable[..., int], str], ...] = (  # each with an example, which begins with its name
    (BEFORE, validate.validate, "validate shop.ncl --overlay staging.ncl"),
    (BEFORE, plan.plan, "plan shop.ncl --retire --out shop.plan"),
    (BEFORE, schema.schema, "schema taskserv"),
    (RUNS, run.run, "run shop.ncl --retire --wait 600"),
    (RUNS, destroy.destroy, "destroy shop --plan"),
    (RUNS, submit.submit, "submit shop.ncl --watch"),
    (RUNS, run_control.resume_run, "resume shop"),
    (RUNS, run_control.pause, "pause shop"),
    (RUNS, run_control.cancel, "cancel shop"),
    (RUNS, run_control.rollback, "rollback shop --plan"),
    (RUNS, approvals.approvals, "approvals shop"),
    (RUNS, approvals.approve, "approve shop --comment tested"),
    (RUNS, approvals.refuse, "refuse shop --comment later"),
    (RUNS, gc.gc, "gc --run shop"),
    (LOOKING, run_queries.list_runs, "list --environment shop --status failed"),
    (LOOKING, run_queries.runs, "runs shop --status failed"),
    (LOOKING, environments.environments, "environments"),
    (LOOKING, drift.drift, "drift shop"),
    (LOOKING, run_queries.status, "status shop"),
    (LOOKING, monitor.monitor, "monitor shop"),
    (LOOKING, run_queries.events, "events shop --follow"),
    (LOOKING, logs.logs, "logs shop web-1/nginx"),
    (LOOKING, workload_health.check, "check shop"),
    (LOOKING, run_queries.explain_step, "explain shop web-1/nginx"),
    (LOOKING, run_queries.stats, "stats --since 7d"),
    (LOOKING, open_page.open_page, "open shop"),
    (SERVICE, service_state.audit, "audit --who ci --limit 20"),
    (SERVICE, service_state.leases, "leases"),
    (SERVICE, service_state.lanes, "lanes"),
    (OFFERS, emulate.emulate, "emulate upcloud --backed-by local"),
)
for _panel, _function, _example in COMMANDS:
    app.command(_example.split()[0], rich_help_panel=_panel, epilog=f"Example: {NAME} {_example}")(_function)
app.add_typer(servers.app, name="servers", rich_help_panel=OFFERS)
app.add_typer(providers.app, name="providers", rich_help_panel=OFFERS)
app.add_typer(taskservs.app, name="taskservs", rich_help_panel=OFFERS)
app.add_typer(store.app, name="store", rich_help_panel=OFFERS)
app.add_typer(local.app, name="local", rich_help_panel=OFFERS)
app.add_typer(policy.app, name="policy", rich_help_panel=OFFERS)
app.add_typer(webhooks.app, name="webhooks", rich_help_panel=LOOKING)
app.add_typer(token.app, name="token", rich_help_panel=SERVICE)


def _print_version(wanted: bool) -> None:
    if wanted:
        say(f"batchwright {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Batch workflows of infrastructure operations: typed, planned, parallel, crash-safe, reversible."""


@cache
def command() -> Any:
    """The whole command line. Commands added to `app` after the first call are not in it."""
    return get_command(app)


def run_command(args: Sequence[str]) -> int:
    """Run one command line and return its exit code. It raises nothing."""
    json, could_not = "--json" in args, _could_not(args)
    if logging.lastResort is not None:  # this handler prints library warnings when no logging is set up
        logging.lastResort.setFormatter(PrintableFormatter())
    try:
        _refuse_bytes(args)
        with command().make_context(NAME, list(args) or ["--help"]) as context:
            result = command().invoke(context)
        sys.stdout.flush()
        return int(result or Exit.OK)
    except typer.Exit as end:  # --help, --version
        return end.exit_code
    except BatchwrightError as error:
        refused = isinstance(error, PlanRefused)
        found = [one for one in error.diagnostics if isinstance(one, Diagnostic)] if refused else []
        if not json:
            show_diagnostics(found)
        show_error(error, json=json, diagnostics=found)
        return Exit.NO if refused or isinstance(error, PlanChanged) else could_not
    except (KeyboardInterrupt, typer.Abort):
        note("interrupted; nothing was in flight")
        return Exit.LEFT
    except Exception as error:
        if isinstance(error, _CommandProblem):
            show_error(_usage(error), json=json)
        elif isinstance(error, FileNotFoundError) and error.filename is None and _lost():
            show_error(UsageError("the current folder no longer exists", hint=GONE), json=json)
        else:
            _show_bug(error, json=json)
        return could_not


def _refuse_bytes(args: Sequence[str]) -> None:
    """Raise UsageError for a word that is not UTF-8: what runs record and services are sent is."""
    for word in args:
        try:
            word.encode()
        except UnicodeEncodeError:
            shown = printable(word.encode(errors="surrogateescape").decode(errors="replace"))
            raise UsageError(f"'{shown}' is not UTF-8 text", hint="Write it in UTF-8, or rename the file.") from None


def _could_not(args: Sequence[str]) -> Exit:
    """The exit code of what could not be done. With --exit-code 2 says that there are changes, and nothing else."""
    return Exit.NO if "--exit-code" in args else Exit.COULD_NOT


def _lost() -> bool:
    """Whether the working folder was removed: relative paths no longer resolve then."""
    try:
        return not os.getcwd()  # noqa: PTH109
    except FileNotFoundError:
        return True


def _usage(problem: Any) -> UsageError:
    """Turn a usage error of Typer into a UsageError."""
    context = getattr(problem, "ctx", None)
    path = context.command_path if context else NAME
    return UsageError(problem.format_message(), hint=f"See: {path} --help")


def _show_bug(error: Exception, *, json: bool) -> None:
    """Report a bug on one line. Only BATCHWRIGHT_DEBUG=1 shows the traceback."""
    if os.environ.get("BATCHWRIGHT_DEBUG") == "1":
        note(traceback.format_exc())
    message = f"{type(error).__name__}: {error}"
    hint = "This is a bug in Batchwright. Please report it with the traceback that BATCHWRIGHT_DEBUG=1 shows."
    if json:
        print_json({"error": {"code": "bug", "message": message, "hint": hint}})
        return
    note(f"error: {message} [bug]", "red")
    note(f"hint: {hint}")


def main() -> NoReturn:
    """Run the `batchwright` command and exit with its code."""
    standard_streams.guard()
    if "_BATCHWRIGHT_COMPLETE" in os.environ:
        app(prog_name=NAME)  # answers a completion request of the shell and exits
    resource_exhaustion.raise_descriptors()
    code = run_command(sys.argv[1:])
    if lost := standard_streams.failure():
        note(f"error: not all of the output could be written: {lost.strerror}", "red")
        code = code or _could_not(sys.argv)
    sys.exit(int(code))
