"""Checks to steps: each looks again and again until what it looks at is well, or its time is over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Any, ClassVar, Self

from msgspec import Struct, field
from msgspec.structs import replace

from batchwright.model.actions import Action, Undo
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.lifecycle import StepState
from batchwright.model.plan import Request, Step
from batchwright.model.receiver_url import literal_address, url_parts
from batchwright.model.run import Run
from batchwright.model.run_fold_state import StepFoldState
from batchwright.model.secret_reference import SecretReference
from batchwright.model.templates import Value, Values, filled, named
from batchwright.model.workflow import Dependency, OnFailure, Operation, Retry
from batchwright.operations.base import FieldPath, OperationType, PortKind, Wants
from batchwright.operations.command import Command, CommandRequest, command_words
from batchwright.operations.planner_state import Draft, PlannedServer
from batchwright.operations.server_batch import ServerRequest
from batchwright.printable import printable, shortened
from batchwright.redaction import names_secret

SUBJECT_MAX = 160  # characters of a URL that are shown
CHECK_SECONDS = 2.0  # unknown beforehand; an estimate like all `seconds`
_IN_CLEAR = frozenset({"authorization", "proxy-authorization", "cookie"})


class Redirects(StrEnum):
    """Where an HTTP check goes on if the answer is a redirect."""

    NONE = "none"
    SAME_HOST = "same_host"
    ANY = "any"


class HttpCheck(Struct, frozen=True, omit_defaults=True):
    """Well if a GET of `url` is answered with `status`, and with `contains` in the beginning of the body.

    `headers` are sent to the host of `url` only.
    """

    url: str
    status: int = 200
    contains: str = ""
    headers: dict[str, str | SecretReference] = {}
    redirects: Redirects = Redirects.SAME_HOST


class TcpCheck(Struct, frozen=True):
    """Well if a connection to the port is accepted."""

    host: str
    port: int


class Check(Operation, Struct, frozen=True, tag_field="type", tag="check"):
    """Looks every so many seconds until it was well `times` in a row; fails if it is not `within` so many seconds.

    Exactly one of `http`, `tcp` and `run` is set. `run` is a program that ends with exit code 0 if all is well; with
    `targets` (operation ids or server names) it runs on servers. `env` and `directory` are those of the program.
    """

    id: str
    http: HttpCheck | None = None
    tcp: TcpCheck | None = None
    run: tuple[str, ...] = ()
    env: dict[str, str | SecretReference] = {}
    directory: str | None = None
    targets: tuple[str, ...] | None = None
    every: float = 2.0
    timeout: float = field(name="within", default=120.0)
    times: int = 1
    dependencies: tuple[Dependency, ...] = ()
    retry: Retry = Retry(max_attempts=1)  # no field of a file: a check looks again by itself
    on_failure: OnFailure | None = None
    when: dict[str, str] = {}

    templates: ClassVar[frozenset[str]] = frozenset({"http", "tcp", "run", "env"})

    def anchored(self, whole: Callable[[str], str]) -> Self:
        """The check with an absolute path for its program's folder on this machine."""
        if self.directory is None or self.targets is not None:
            return self
        return replace(self, directory=whole(self.directory))

    @property
    def program(self) -> Command | None:
        """The command that is run for each look."""
        if not self.run:
            return None
        return Command(self.id, self.run, env=self.env, directory=self.directory, targets=self.targets)


class CheckRequest(Request, Struct, frozen=True, gc=False, omit_defaults=True, tag_field="kind", tag="check"):
    """What is looked at, how often, and how often in a row it must be well. `name` is that of the operation."""

    name: str
    http: HttpCheck | None = None
    tcp: TcpCheck | None = None
    program: CommandRequest | None = None
    every: float = 2.0
    times: int = 1
    references: tuple[str, ...] = ()
    values: dict[str, Value] = {}

    @classmethod
    def of(cls, op: Check, program: CommandRequest | None) -> Self:
        """The request of a check; texts without references are written out."""
        whole = cls(op.id, op.http, op.tcp, program, op.every, op.times)
        if program is not None:
            return replace(whole, references=program.references)
        found = named(_texts(op.http, op.tcp))
        return replace(whole, references=found) if found else whole._filled({})

    def written(self, own: Values) -> Self:
        """The request as it is sent, with all its values; `own` are those about the server that its program runs on."""
        if not self.references:
            return self
        program = self.program and self.program.with_values(self.values).written(own)
        return replace(self._filled(self.values), program=program, references=(), values={})

    def _filled(self, values: Values) -> Self:
        http, tcp = self.http, self.tcp
        if http is not None:
            headers = {name: filled(one, values) if isinstance(one, str) else one for name, one in http.headers.items()}
            http = replace(http, url=filled(http.url, values), contains=filled(http.contains, values), headers=headers)
        return replace(self, http=http, tcp=tcp and replace(tcp, host=filled(tcp.host, values)))

    @property
    def subject(self) -> str:
        """What is looked at, on one line."""
        if self.program is not None:
            return command_words(self.program.run)
        words = self.http.url if self.http is not None else f"{self.tcp.host}:{self.tcp.port}" if self.tcp else ""
        return shortened(printable(words), SUBJECT_MAX)


class CheckType(OperationType[Check]):
    """Looks until something is well. It changes nothing and is undone by nothing."""

    name = "check"
    operation = Check
    request = CheckRequest
    actions = frozenset({Action.CHECK})
    policy_group = "checks"
    port = PortKind.LAUNCHER
    lane = "checks"
    at_once = 100

    def written(self, fields: dict[str, Any]) -> dict[str, Any]:
        left_out = {"retry"} if fields["run"] else {"retry", "run", "env"}
        return {name: value for name, value in fields.items() if name not in left_out}

    # -- planning -----------------------------------------------------------------------------------------------

    def wants(self, op: Check) -> Wants:
        return Wants(program=op.program, secrets={"http.headers": op.http.headers} if op.http is not None else {})

    def parts(self, _op: Check) -> dict[str, FieldPath]:
        return {"http.headers": ("http", "headers")}

    def check(self, draft: Draft) -> None:
        for _, op in draft.of(Check):
            if op.http is not None:
                _check_http(draft, op.id, op.http)

    def plan(self, draft: Draft) -> None:
        for i, op in draft.of(Check):
            program = draft.observations.requests.get(op.id)
            assert program is None or isinstance(program, CommandRequest)
            places = [None] if op.targets is None else draft.targets[i]
            known = not op.run or program is not None
            draft.steps[i] = [_step(op, program, place) for place in places if known]

    def unplanned(self, draft: Draft) -> list[Diagnostic]:
        return [
            Diagnostic(
                "command-unresolved", "its program was not resolved", "This is a bug in Batchwright.", where=op.id
            )
            for _, op in draft.of(Check)
            if op.run and op.id not in draft.observations.requests
        ]

    def program(self, step: Step) -> CommandRequest | None:
        return _request(step).program

    def policy_data(self, step: Step) -> dict[str, Any]:
        request = _request(step)
        program = request.program
        ran = {"run": program.run, "env": program.env} if program is not None else {"run": (), "env": {}}
        return {"http": request.http, "tcp": request.tcp, **ran}

    # -- words --------------------------------------------------------------------------------------------------

    def subject(self, step: Step) -> str:
        return _request(step).subject

    def about(self, step: Step) -> str:
        return wanted(_request(step))

    def does(self, step: Step, server: str) -> str:
        request = _request(step)
        place = f" on {server}" if server else ""
        return f"look at {request.subject}{place} until it is well ({wanted(request)})"

    def undoes(self, _step: Step, _server: str) -> str:
        return "nothing: a check changes nothing"

    def verb(self, _action: Action) -> str:
        return "check that all is well"

    def started(self, _step: Step, _record: StepFoldState) -> str:
        return "looking"

    def doing(self, step: Step, record: StepFoldState) -> str:
        return "well" if record.state is StepState.SUCCEEDED else super().doing(step, record)


def _texts(http: HttpCheck | None, tcp: TcpCheck | None) -> Iterator[str]:
    if http is not None:
        yield from (http.url, http.contains)
        yield from (one for one in http.headers.values() if isinstance(one, str))
    if tcp is not None:
        yield tcp.host


def wanted(request: CheckRequest) -> str:
    """What counts as well, in words."""
    in_a_row = f", {request.times} times in a row" if request.times > 1 else ""
    if request.program is not None:
        return f"exit code 0{in_a_row}"
    if request.http is None:
        return f"accepts a connection{in_a_row}"
    contains = f', with "{shortened(printable(request.http.contains), 60)}"' if request.http.contains else ""
    return f"answers {request.http.status}{contains}{in_a_row}"


def _request(step: Step) -> CheckRequest:
    assert isinstance(step.request, CheckRequest)
    return step.request


def _step(op: Check, program: CommandRequest | None, place: PlannedServer | None) -> Step:
    return Step(
        id=f"{op.id}/{place.name if place else 'check'}",
        operation=op.id,
        provider="",
        action=Action.CHECK,
        undo=Undo.NOTHING,
        request=CheckRequest.of(op, program),
        server=place.step if place else "",
        seconds=CHECK_SECONDS + op.every * (op.times - 1),
    )


def _check_http(draft: Draft, where: str, http: HttpCheck) -> None:
    if "${" not in http.url:  # else it is known only in the run
        try:
            why = _host_flaw(url_parts(http.url).host)
        except ValueError as error:
            why = str(error)
        if why:
            hint = "Write it as http://HOST:PORT/PATH, with a host name or an address."
            draft.refuse("check-url", f"the URL cannot be used: {why}", where, hint, "http.url")
    for name, value in http.headers.items():
        if isinstance(value, str) and (name.lower() in _IN_CLEAR or names_secret(name.replace("-", "_"))):
            message = f"the header {name} would hold a secret in clear"
            hint = f'Name where it is: headers."{name}" = {{ env = "NAME" }} or {{ file = "/PATH" }}.'
            draft.refuse("check-secret-in-clear", message, where, hint, f"http.headers.{name}")


def _host_flaw(host: str) -> str:
    try:
        literal_address(host)
    except ValueError as error:
        return str(error)
    return ""


def own_addresses(run: Run) -> frozenset[str]:
    """The addresses of the servers that a run has created or keeps, as their providers told them.

    Those of servers whose address the workflow file itself gives are not among them: anything could stand there.
    """
    return frozenset(
        record.address
        for step, record in zip(run.plan.steps, run.records, strict=True)
        if isinstance(step.request, ServerRequest) and step.request.access is None and not step.traits.removes
        if record.state is StepState.SUCCEEDED and record.address
    )
