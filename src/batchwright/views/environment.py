"""Environments as people see them: what each has, which run may change it now, and what to do next."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from batchwright.model.environment import SIMULATED, Environment, Resource
from batchwright.model.lifecycle import RunState
from batchwright.model.run_summary import RunSummary
from batchwright.model.templates import Value

SERVER, TASKSERV = "server", "taskserv"  # kinds of resources; all others are commands that can be undone


class EnvironmentLine(Struct, frozen=True):
    """One environment of the list. Times are seconds since the epoch.

    `servers` and `taskservs` are what it had when its newest finished turn ended; None if that has not been counted,
    because no run has changed it since an older version did. `run` is the newest run, in this state since the time
    `since`; `changing`: it is that run's turn now, and `driver` is the process that drives it, "" for none. `unsettled`
    is a run that left a call of unknown outcome, "" for none.
    """

    name: str
    simulated: bool
    store: str
    servers: int | None
    taskservs: int | None
    turn: int
    run: str
    workflow: str
    version: str
    status: RunState
    changing: bool
    driver: str
    since: float
    unsettled: str
    next: str


class EnvironmentTaskserv(Struct, frozen=True):
    """A task service on a server, or, with `operation` as its name, a command there that can be undone.

    Secrets in `variables` are references. `values` are what references in them stood for. `whole`: the last run that
    worked on it finished. `residue` says why an undo failed.
    """

    name: str
    version: str
    variables: dict[str, Any]
    made_by: str
    changed_by: str
    whole: bool
    residue: str
    values: dict[str, Value] = {}


class EnvironmentCommand(Struct, frozen=True):
    """A command that a rollback or a destroy would undo; `server` is "" if it ran on this machine."""

    operation: str
    server: str
    made_by: str
    residue: str


class EnvironmentServer(Struct, frozen=True):
    """A server and its task services. `made_by` and `changed_by` are runs, "" if none of this environment's.

    `borrowed`: it was there before, and is never destroyed here; `belongs_to` is the environment of the same store that
    created it, "" for none. `used_by` are the environments that have borrowed it. `whole`: the last run that worked on
    it finished. `doubtful`: a call may have made another one that no run knows. `leftover` are references of servers
    that should be gone. `left_by` is the run that left its account, "" for none: it cannot be reached.
    """

    name: str
    address: str
    ref: str
    provider: str
    account: str
    zone: str
    plan: str
    image: str
    made_by: str
    made_turn: int
    changed_by: str
    changed_turn: int
    borrowed: bool
    belongs_to: str
    used_by: tuple[str, ...]
    whole: bool
    doubtful: bool
    leftover: tuple[str, ...]
    residue: str
    left_by: str
    taskservs: tuple[EnvironmentTaskserv, ...]


class RollbackCandidate(Struct, frozen=True):
    """A run that changed the environment and can be rolled back, once those before it in the list are."""

    run: str
    version: str
    status: RunState
    ended_at: float


class EnvironmentView(EnvironmentLine, frozen=True):
    """An environment with all that it has, as it is in the middle of a turn too."""

    resources: tuple[EnvironmentServer, ...]
    commands: tuple[EnvironmentCommand, ...]
    rollbacks: tuple[RollbackCandidate, ...]


def environment_line(
    row: Environment, last: RunSummary, driver: str, resources: Collection[Resource] | None
) -> EnvironmentLine:
    """The line of an environment; `last` is its newest run, and `resources` are None if they are not known."""
    changing = bool(row.tenant)
    kinds = None if resources is None else [one.kind for one in resources if one.kind != SERVER or one.ref]
    return EnvironmentLine(
        name=row.name,
        simulated=row.space == SIMULATED,
        store=last.store,
        servers=None if kinds is None else kinds.count(SERVER),
        taskservs=None if kinds is None else kinds.count(TASKSERV),
        turn=row.turn,
        run=last.run,
        workflow=last.workflow,
        version=last.version,
        status=last.status,
        changing=changing,
        driver=driver if changing else "",
        since=row.since if changing else last.ended_at or last.created_at,
        unsettled=row.unsettled,
        next=_next(row, driver, asks=last.run == row.tenant and last.asks > 0),
    )


def _next(row: Environment, driver: str, *, asks: bool) -> str:
    if row.store:
        return "its move to another store is not finished; repeat it with: batchwright store migrate"
    if asks:
        return f"see what it asks, and answer: batchwright approvals {row.tenant}"
    if row.tenant and driver:
        return f"watch it with: batchwright monitor {row.tenant}"
    if row.tenant:
        return f"continue it with: batchwright resume {row.tenant}, or end it with: batchwright cancel {row.tenant}"
    if row.unsettled:
        return f"settle it with: batchwright resume {row.unsettled}, or: batchwright rollback {row.unsettled}"
    return ""


def environment_view(
    line: EnvironmentLine,
    resources: Iterable[Resource],
    rollbacks: Sequence[RunSummary],
    users: Mapping[str, Sequence[str]] = {},
    owners: Mapping[str, str] = {},
) -> EnvironmentView:
    """The view of an environment with these resources, and the runs that can be rolled back, the next one first.

    `users` and `owners` are the other environments that have a server too, by its name.
    """
    servers: dict[str, Resource] = {}
    taskservs: dict[str, list[EnvironmentTaskserv]] = {}
    commands: list[EnvironmentCommand] = []
    for one in sorted(resources, key=lambda one: (one.rank, one.key)):
        if one.kind == SERVER:
            servers[one.name] = one
        elif one.kind == TASKSERV:
            taskservs.setdefault(one.server, []).append(_taskserv(one))
        else:
            commands.append(EnvironmentCommand(one.operation, one.server, one.made_by, one.residue))
    return EnvironmentView(
        **asdict(line),
        resources=tuple(
            _server(one, taskservs.get(name, ()), users.get(name, ()), owners.get(name, ""))
            for name, one in servers.items()
        ),
        commands=tuple(commands),
        rollbacks=tuple(RollbackCandidate(row.run, row.version, row.status, row.ended_at) for row in rollbacks),
    )


def _server(
    one: Resource, taskservs: Sequence[EnvironmentTaskserv], used_by: Sequence[str], belongs_to: str
) -> EnvironmentServer:
    request = one.request
    return EnvironmentServer(
        name=one.name,
        address=one.address,
        ref=one.ref,
        provider=one.provider,
        account=one.account,
        zone=request.get("zone", ""),
        plan=request.get("plan", ""),
        image=request.get("image", ""),
        made_by=one.made_by,
        made_turn=one.made_turn,
        changed_by=one.changed_by,
        changed_turn=one.changed_turn,
        borrowed=one.borrowed,
        belongs_to=belongs_to,
        used_by=tuple(used_by),
        whole=one.whole,
        doubtful=one.doubtful,
        leftover=tuple(left.ref for left in one.leftovers),
        residue=one.residue,
        left_by=one.left_by,
        taskservs=tuple(taskservs),
    )


def _taskserv(one: Resource) -> EnvironmentTaskserv:
    version, variables = one.request.get("version", ""), one.request.get("variables", {})
    history = one.made_by, one.changed_by, one.whole, one.residue
    return EnvironmentTaskserv(one.name, version, variables, *history, values=one.request.get("values", {}))
