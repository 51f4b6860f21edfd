"""The console entry point: lists the commands and reports every error."""

from __future__ import annotations

import gc
import logging
import os
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Annotated, Any, NoReturn

import typer
from typer.main import get_command

from batchwright import __version__, resource_exhaustion, standard_streams
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
Row = tuple[str, str, str]
COMMANDS: list[Row] = [  # panel, where its function stands, an example that begins with its name
    (BEFORE, "batchwright.cli.validate:validate", "validate shop.ncl --overlay staging.ncl"),
    (BEFORE, "batchwright.cli.plan:plan", "plan shop.ncl --retire --out shop.plan"),
    (BEFORE, "batchwright.cli.rehearse:rehearse", "rehearse shop.ncl --html rehearsal.html"),
    (BEFORE, "batchwright.cli.schema:schema", "schema taskserv"),
    (BEFORE, "batchwright.cli.examples:examples", "examples site"),
    (RUNS, "batchwright.cli.run:run", "run shop.ncl --retire --wait 600"),
    (RUNS, "batchwright.cli.destroy:destroy", "destroy shop --plan"),
    (RUNS, "batchwright.cli.submit:submit", "submit shop.ncl --watch"),
    (RUNS, "batchwright.cli.run_control:resume_run", "resume shop"),
    (RUNS, "batchwright.cli.run_control:pause", "pause shop"),
    (RUNS, "batchwright.cli.run_control:cancel", "cancel shop"),
    (RUNS, "batchwright.cli.run_control:rollback", "rollback shop --plan"),
    (RUNS, "batchwright.cli.approvals:approvals", "approvals shop"),
    (RUNS, "batchwright.cli.approvals:approve", "approve shop --comment tested"),
    (RUNS, "batchwright.cli.approvals:refuse", "refuse shop --comment later"),
    (RUNS, "batchwright.cli.gc:gc", "gc --run shop"),
    (LOOKING, "batchwright.cli.run_queries:list_runs", "list --environment shop --status failed"),
    (LOOKING, "batchwright.cli.run_queries:runs", "runs shop --status failed"),
    (LOOKING, "batchwright.cli.environments:environments", "environments"),
    (LOOKING, "batchwright.cli.drift:drift", "drift shop"),
    (LOOKING, "batchwright.cli.run_queries:status", "status shop"),
    (LOOKING, "batchwright.cli.monitor:monitor", "monitor shop"),
    (LOOKING, "batchwright.cli.run_queries:events", "events shop --follow"),
    (LOOKING, "batchwright.cli.logs:logs", "logs shop web-1/nginx"),
    (LOOKING, "batchwright.cli.workload_health:check", "check shop"),
    (LOOKING, "batchwright.cli.run_queries:explain_step", "explain shop web-1/nginx"),
    (LOOKING, "batchwright.cli.ask:ask", "ask diagnoser shop"),
    (LOOKING, "batchwright.cli.run_queries:stats", "stats --since 7d"),
    (LOOKING, "batchwright.cli.open_page:open_page", "open shop"),
    (LOOKING, "batchwright.cli.trace:trace", "trace shop --otlp shop.jsonl"),
    (SERVICE, "batchwright.cli.administration:audit", "audit --who ci --limit 20"),
    (SERVICE, "batchwright.cli.administration:leases", "leases"),
    (SERVICE, "batchwright.cli.administration:lanes", "lanes"),
    (OFFERS, "batchwright.cli.emulate:emulate", "emulate upcloud --backed-by local"),
    (OFFERS, "batchwright.cli.version:version", "version --json"),
    (OFFERS, "batchwright.cli.version:man", "man"),
]
GROUPS: list[Row] = [  # panel, where its Typer stands, its name
    (OFFERS, "batchwright.cli.servers:app", "servers"),
    (OFFERS, "batchwright.cli.providers:app", "providers"),
    (OFFERS, "batchwright.cli.taskservs:app", "taskservs"),
    (OFFERS, "batchwright.cli.store:app", "store"),
    (OFFERS, "batchwright.cli.local:app", "local"),
    (BEFORE, "batchwright.cli.new:app", "new"),
    (OFFERS, "batchwright.cli.policy:app", "policy"),
    (LOOKING, "batchwright.cli.webhooks:app", "webhooks"),
    (RUNS, "batchwright.cli.proposals:app", "proposals"),
    (SERVICE, "batchwright.cli.token:app", "token"),
]


class CommandTable(Mapping[str, Any]):
    """Names to Click commands, each imported when it is first asked for: no command waits for the imports of others.

    Rows of `commands` are (panel of the help, `module:function`, example that begins with the name); rows of `groups`
    are (panel, `module:variable` of a Typer, name).

    >>> table = CommandTable("batchwright", [("Observe", "batchwright.cli.logs:logs", "logs shop")], [])
    >>> list(table), table["logs"].epilog
    (['logs'], 'Example: batchwright logs shop')
    """

    def __init__(self, program: str, commands: Sequence[Row], groups: Sequence[Row]) -> None:
        self._program = program
        self._commands = {example.split()[0]: (panel, place, example) for panel, place, example in commands}
        self._groups = {name: (panel, place) for panel, place, name in groups}
        self._built: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._built:
            self._built[name] = self._group(name) if name in self._groups else self._command(name)
        return self._built[name]

    def __iter__(self) -> Iterator[str]:
        yield from self._commands
        yield from self._groups

    def __len__(self) -> int:
        return len(self._commands) + len(self._groups)

    def __contains__(self, name: object) -> bool:
        return name in self._commands or name in self._groups  # the inherited one would import the command

    def _command(self, name: str) -> Any:
        panel, place, example = self._commands[name]
        one = typer.Typer(add_completion=False)
        one.command(name, rich_help_panel=panel, epilog=f"Example: {self._program} {example}")(_found(place))
        return get_command(one)

    def _group(self, name: str) -> Any:
        panel, place = self._groups[name]
        holder = typer.Typer(add_completion=False)
        holder.add_typer(_found(place), name=name, rich_help_panel=panel)
        built: Any = get_command(holder)
        return built.commands[name]


def _found(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


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
    """The whole command line. Rows added to `COMMANDS` after the first call are not in it."""
    group: Any = get_command(app)
    group.commands = CommandTable(NAME, COMMANDS, GROUPS)
    return group


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
        command()(prog_name=NAME)  # answers a completion request of the shell and exits
    resource_exhaustion.raise_descriptors()
    code = run_command(sys.argv[1:])
    if lost := standard_streams.failure():
        note(f"error: not all of the output could be written: {lost.strerror}", "red")
        code = code or _could_not(sys.argv)
    gc.freeze()  # what is left goes with the process: a last search for cycles takes a tenth of a short command
    sys.exit(int(code))
