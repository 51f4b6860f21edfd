"""Commands to steps: one for this machine, or one for each server that runs the command."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

from msgspec import Struct
from msgspec.structs import replace

from batchwright.model.actions import Action, Undo
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.plan import Request, Step
from batchwright.model.run_fold_state import StepFoldState
from batchwright.model.secret_reference import SecretReference
from batchwright.model.templates import Value, Values, filled, named
from batchwright.model.workflow import Dependency, HoldAfter, OnFailure, Operation, Retry, WaveHold
from batchwright.operations.base import OperationType, PortKind, Wants
from batchwright.operations.planner_state import Draft, PlannedServer
from batchwright.printable import printable, shortened


class Command(Operation, Struct, frozen=True, tag_field="type", tag="command"):
    """Runs a program, without a shell, on this machine, or with `targets` (operation ids or server names) on servers.

    `undo` is the program of a rollback. `idempotent`: it may be run again if it is unknown how far it got. `unless` is
    a program that ends with 0 if there is nothing to do. `outputs` are the names of the values that it gives, and
    `answers` names its exit codes of success.
    """

    id: str
    run: tuple[str, ...]
    undo: tuple[str, ...] = ()
    env: dict[str, str | SecretReference] = {}
    directory: str | None = None
    targets: tuple[str, ...] | None = None
    idempotent: bool = False
    unless: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    answers: dict[str, int] = {}
    dependencies: tuple[Dependency, ...] = ()
    retry: Retry = Retry()
    timeout: float = 600.0
    on_failure: OnFailure | None = None
    when: dict[str, str] = {}
    parallel_limit: int | None = None
    waves: tuple[int | str, ...] | None = None
    hold_after: HoldAfter | None = None
    hold: WaveHold | None = None
    min_success: int | str | None = None
    at: str = ""

    templates: ClassVar[frozenset[str]] = frozenset({"run", "undo", "unless", "env"})

    def anchored(self, whole: Callable[[str], str]) -> Self:
        """The command with an absolute path for its folder on this machine."""
        if self.directory is None or self.targets is not None or self.at:
            return self
        return replace(self, directory=whole(self.directory))


class CommandRequest(Request, Struct, frozen=True, gc=False, omit_defaults=True, tag_field="kind", tag="command"):
    """A program and its arguments; no shell. `name` is its last word in a path, for people.

    Program and `directory` are as the file names them, so that a plan holds on any machine: the program is found when
    it is started, and RunInputs says what a relative folder is relative to. In plans of older versions both are
    absolute. Secrets stay references; `idempotent`: it may be run again if it is unknown how far it got. `unless` and
    `outputs` as in Command.
    """

    name: str
    run: tuple[str, ...]
    undo: tuple[str, ...] = ()
    env: dict[str, str | SecretReference] = {}
    directory: str = ""
    idempotent: bool = False
    unless: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    answers: dict[str, int] = {}
    at: str = ""
    references: tuple[str, ...] = ()
    values: dict[str, Value] = {}

    @classmethod
    def of(cls, command: Command, name: str) -> Self:
        """The request of a command; texts without references are written out."""
        whole = cls(
            name,
            command.run,
            command.undo,
            command.env,
            command.directory or "",
            command.idempotent,
            command.unless,
            command.outputs,
            command.answers,
            command.at,
        )
        texts = (*whole.run, *whole.undo, *whole.unless, *(one for one in whole.env.values() if isinstance(one, str)))
        found = named(texts)
        return replace(whole, references=found) if found else whole._filled({})

    def written(self, own: Values) -> Self:
        """The request as it is sent, with all its values; `own` are those about the server that it runs on."""
        return replace(self._filled({**self.values, **own}), references=(), values={}) if self.references else self

    def _filled(self, values: Values) -> Self:
        def words(texts: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(filled(text, values) for text in texts)

        env = {name: filled(text, values) if isinstance(text, str) else text for name, text in self.env.items()}
        return replace(self, run=words(self.run), undo=words(self.undo), unless=words(self.unless), env=env)


COMMAND_MAX = 160  # characters of a command that are shown
COMMAND_SECONDS = 5.0  # unknown beforehand; an estimate like all `seconds`


def plan_commands(draft: Draft) -> None:
    """Fill the steps of commands. One whose program was not found has none, and a problem says why."""
    for i, op in draft.of(Command):
        request = draft.observations.requests.get(op.id)
        places = [None] if op.targets is None else draft.targets[i]
        draft.steps[i] = [_step(draft, op, request, place) for place in places if request is not None]


def _step(draft: Draft, op: Command, request: Request, place: PlannedServer | None) -> Step:
    seconds = draft.observations.install_seconds
    return Step(
        id=f"{op.id}/{place.name if place else 'run'}",
        operation=op.id,
        provider=op.provider,
        action=Action.RUN,
        undo=_undo(op, place),
        request=request,
        server=place.step if place else "",
        seconds=COMMAND_SECONDS if seconds is None else seconds,
    )


def _undo(op: Command, place: PlannedServer | None) -> Undo:
    """A program that was named is run even when its server goes: it was asked for."""
    if op.undo:
        return Undo.RUN
    return Undo.WITH_SERVER if place is not None and place.vanishes else Undo.NOTHING


class CommandType(OperationType[Command]):
    """A program, on this machine or on servers."""

    name = "command"
    operation = Command
    request = CommandRequest
    actions = frozenset({Action.RUN, Action.RETIRE})
    policy_group = "commands"
    port = PortKind.LAUNCHER
    lane = "commands"
    at_once = 20
    doubt_note = "it is unknown how far the command got"

    def written(self, fields: dict[str, Any]) -> dict[str, Any]:
        later = ("unless", "outputs", "at")  # a file without them has the digest that it always had
        return {name: value for name, value in fields.items() if value or name not in later}

    def wants(self, op: Command) -> Wants:
        return Wants(program=op)

    def step_count(self, draft: Draft, i: int) -> int:
        return len(draft.targets[i])

    def plan(self, draft: Draft) -> None:
        plan_commands(draft)

    def unplanned(self, draft: Draft) -> list[Diagnostic]:
        return [
            Diagnostic(
                code="command-unresolved",
                message="its program was not resolved",
                where=op.id,
                hint="This is a bug in Batchwright.",
            )
            for _, op in draft.of(Command)
            if op.id not in draft.observations.requests
        ]

    def subject(self, step: Step) -> str:
        request = _request(step)
        return command_words(request.run if step.retired is None else request.undo)

    def about(self, step: Step) -> str:
        request = _request(step)
        place = f"in {request.directory}" if request.directory else ""
        return place if step.retired is None else f"undoes {command_words(request.run)}"

    def program(self, step: Step) -> CommandRequest:
        return _request(step)

    def policy_data(self, step: Step) -> dict[str, Any]:
        assert isinstance(step.request, CommandRequest)
        request = step.request
        return {"run": request.run, "undo": request.undo, "unless": request.unless, "env": request.env}

    def does(self, step: Step, server: str) -> str:
        request = _request(step)
        words = request.run if step.retired is None else request.undo
        return f"run {command_words(words)} {_place(request, server)}"

    def undoes(self, step: Step, server: str) -> str:
        request = _request(step)
        match step.undo:
            case Undo.RUN:
                return f"run {command_words(request.undo)} {_place(request, server)}"
            case Undo.WITH_SERVER:
                return f"nothing by itself: removed together with server {server}"
        return "nothing: it has no undo"

    def verb(self, _action: Action) -> str:
        return "run a program"

    def started(self, step: Step, record: StepFoldState) -> str:
        if not record.doubt:
            return "running"
        return "running again" if step.request.idempotent else "in doubt: checking whether it still runs"

    def undoing(self, _step: Step) -> str:
        return "running its undo"

    def residue(self, _step: Step, _ref: str) -> str:
        return "its undo program"

    def undo_target(self, step: Step, _record: StepFoldState) -> str:
        request = _request(step)
        return shlex.join(request.written({}).undo)


def _request(step: Step) -> CommandRequest:
    assert isinstance(step.request, CommandRequest)
    return step.request


def command_words(line: Sequence[str]) -> str:
    """A command as a shell would take it, on one line, its middle left out where it is long."""
    text = printable(shlex.join(line).replace("\n", "\\n"))
    return shortened(" ".join(text.split()), COMMAND_MAX)


def _place(request: CommandRequest, server: str) -> str:
    place = f"on {server}" if server else f"at {request.at}" if request.at else "on this machine"
    place += f", from {request.at}" if server and request.at else ""
    return f"{place}, in {request.directory}" if request.directory else place
