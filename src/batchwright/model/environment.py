"""An environment: what a workflow stands for in one place over all its runs, and which run may change it now. Pure.

A run changes its environment only during its turns. A turn begins with the event that makes, reopens or rolls back the
run, and ends with the event that ends it. Both happen in the transaction of that event, so that no crash separates
them, and a turn has no expiry: it also lasts while the run is paused or nobody drives it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from batchwright.errors.environment import (
    EnvironmentBusy,
    EnvironmentElsewhere,
    EnvironmentMoved,
    EnvironmentUnsettled,
    RunSuperseded,
)
from batchwright.model.plan import Before, Plan, Request
from batchwright.model.price import Offer

_COPY = "copy of "
REAL, SIMULATED = "real", "simulated"
NAME_PATTERN = "[A-Za-z0-9][A-Za-z0-9_.-]{0,62}"  # of what follows the slash, as of a workflow's name


class EnvironmentKey(Struct, frozen=True, order=True):
    """Which environment. `space` is "real" or "simulated": a simulated run never touches a real environment."""

    space: str
    name: str

    @classmethod
    def of(cls, plan: Plan) -> EnvironmentKey:
        """The environment that a plan changes."""
        return cls(SIMULATED if plan.simulation is not None else REAL, plan.environment or plan.workflow)


class Environment(Struct, frozen=True, omit_defaults=True):
    """Who may change an environment, and who did last. Runs are named by their ids, "" where there is none.

    `store` is the store it lives in, "" for the one that holds this row; `copy_of` marks a copy that is not complete.
    Nobody changes an environment in a store that it does not live in.

    `turn` counts turns from 1. `tenant` is the run whose turn it is, since the time `since`. `last` had the newest
    turn; `newest` is the newest run that changed something and was not rolled back. `unsettled` left a call behind of
    which nobody knows whether it made a server. `through` is the newest turn whose changes are in the resources, as
    version `fold` of the fold wrote them. `lent` counts how often a turn of another environment began that uses servers
    of this one.

    Once runs were archived, the resources cannot be folded from the first run any more. The store keeps them as they
    were after the turn `base`, with the digest `base_digest` ("": no run was ever archived), and folds on from there.
    """

    space: str
    name: str
    turn: int = 0
    tenant: str = ""
    since: float = 0.0
    last: str = ""
    newest: str = ""
    unsettled: str = ""
    through: int = 0
    fold: int = 0
    store: str = ""
    base: int = 0
    base_digest: str = ""
    lent: int = 0

    @property
    def key(self) -> EnvironmentKey:
        """Which environment this is."""
        return EnvironmentKey(self.space, self.name)

    @property
    def is_copy(self) -> bool:
        """Whether this is the mark of an incomplete copy of what another store has."""
        return self.store.startswith(_COPY)

    def home(self, holder: str) -> str:
        """The store it lives in, if the store `holder` has this row."""
        return self.store.removeprefix(_COPY) or holder


class Leftover(Struct, frozen=True, omit_defaults=True):
    """A server that should be gone, with the labels of the run and the step that created it.

    `at` is when it was last known to exist, in seconds since the epoch. If a new server took its place, `former` is
    what the environment had before: that server, then what was on it. It returns if the new server is undone first.
    """

    provider: str
    account: str
    ref: str
    run: str
    token: str = ""  # "": not known
    at: float = 0.0
    former: tuple[Resource, ...] = ()

    @property
    def left_by(self) -> str:
        """The run that left its account, "" for none: no run destroys it."""
        return self.former[0].left_by if self.former else ""


class Resource(Struct, frozen=True, omit_defaults=True):
    """One thing that an environment has: a server, a task service on one, or a command that can be undone.

    `kind` is the kind of request that made it; `request` is that request as it was last applied, in builtins. `server`
    is the name of the server it is on and `ref` that server's reference, or its own if it is a server. `at` is when it
    was last known to exist, in seconds since the epoch. `made_by` and `changed_by` are runs, with the turns in which
    they did it. `borrowed`: it was there before and is no run's of this environment. `whole`: the last run that worked
    on it finished. `leftover` are servers of this name that should be gone (older versions kept only references);
    `residue` says why an undo failed.
    `folder` is where a command on the driving machine worked, and where its undo works.
    `host_keys` are a server's SSH host keys, as first told. `left_by` is the run that was allowed to leave the
    server's account: it cannot be reached.
    """

    kind: str
    name: str
    server: str = ""
    provider: str = ""
    account: str = ""
    ref: str = ""
    address: str = ""
    at: float = 0.0
    run: str = ""
    token: str = ""
    operation: str = ""
    rank: int = 0  # of its step in the plan
    request: dict[str, Any] = {}
    made_by: str = ""
    made_turn: int = 0
    changed_by: str = ""
    changed_turn: int = 0
    borrowed: bool = False
    whole: bool = True
    doubtful: bool = False
    leftover: tuple[Leftover | str, ...] = ()
    residue: str = ""
    folder: str = ""
    host_keys: tuple[str, ...] = ()
    left_by: str = ""

    def before(self, request: Request) -> Before:
        """What a step that changes it finds; `request` is the one last applied."""
        history = self.made_by, self.made_turn, self.changed_by, self.changed_turn
        return Before(request, self.run, self.token, *history)

    @property
    def leftovers(self) -> tuple[Leftover, ...]:
        """Servers of this name that should be gone."""
        return tuple(
            Leftover(self.provider, self.account, one, self.run, at=self.at) if isinstance(one, str) else one
            for one in self.leftover
        )

    @property
    def leftover_servers(self) -> list[Resource]:
        """The same as resources, to look at them and to retire them."""
        return [
            replace(
                one.former[0] if one.former else self,
                **{name: getattr(one, name) for name in ("provider", "account", "ref", "run", "token", "at")},
                leftover=(),
            )
            for one in self.leftovers
        ]

    @property
    def is_half_changed(self) -> bool:
        """Whether it is a server that a later run began to change in place. Any other server that is not whole was not
        checked for twins by the run that created it.
        """
        return not self.whole and self.changed_by != self.run != ""

    @property
    def key(self) -> str:
        """Unique within the environment."""
        return resource_key(self.kind, self.server, self.name)

    @property
    def offer(self) -> Offer:
        """What the price of its server is for."""
        return self.provider, str(self.request.get("plan", "")), str(self.request.get("zone", ""))

    @property
    def is_own_server(self) -> bool:
        """Whether it is a server of this environment, and not of another one."""
        return not self.server and self.ref != "" and not self.borrowed


def resource_key(kind: str, server: str, name: str) -> str:
    """The key of a resource; names hold no slash."""
    return f"{kind}/{server}/{name}"


class Enter(Struct, frozen=True):
    """A turn that is to begin with an event. `expects` is the turn that the caller has seen, so this one is the next.

    `after` is the run that was the newest when `run` was made: a run may go on as long as nobody else came after it.
    `lenders` are the environments whose servers the run uses, as the caller has seen them, and `lent` is this one's
    count: of two turns that begin at once, one that uses a server and one that ends it, only one begins.
    """

    key: EnvironmentKey
    run: str
    at: float
    expects: int
    after: str = ""
    resources: tuple[Resource, ...] | None = None  # of runs older than turns, when the environment is first entered
    newest: str = ""  # of those runs
    lent: int = 0
    lenders: tuple[Environment, ...] = ()


class Leave(Struct, frozen=True):
    """A turn that ends with an event, and what it changed: resources as they are now, keys of those that are gone."""

    key: EnvironmentKey
    run: str
    newest: str
    unsettled: bool
    fold: int
    changed: tuple[Resource, ...] = ()
    gone: tuple[str, ...] = ()


def copy_of(store: str) -> str:
    """The store of an incomplete copy of what another store still has: none."""
    return _COPY + store


def refuse_moved(row: Environment) -> None:
    """Raise EnvironmentElsewhere unless the environment lives in the store that holds this row."""
    if not row.store:
        return
    home = row.home("")
    again = "If a move was interrupted, repeat it: batchwright store migrate"
    if row.is_copy:
        raise EnvironmentElsewhere(f"the environment {row.name} is still in the store {home}", hint=again)
    message = f"the environment {row.name} is being moved, or was moved, to the store {home}"
    raise EnvironmentElsewhere(message, hint=f"Use that store (storage_backend in the file). {again}")


def unsettled_by(row: Environment) -> EnvironmentUnsettled:
    """Why no other run may begin: the run that left a call of unknown outcome, and how to settle it."""
    return EnvironmentUnsettled(
        f"run {row.unsettled} ended with a call of unknown outcome: {row.name} may have a server that no run knows",
        hint=f"Settle it: batchwright resume {row.unsettled}, or batchwright rollback {row.unsettled}. If the "
        f"provider is gone for good: batchwright resume {row.unsettled} --forget LANE",
        run=row.unsettled,
    )


def entered(found: Environment | None, enter: Enter) -> Environment:
    """The environment once the turn has begun.

    Raises EnvironmentRefused (EnvironmentBusy and its siblings), and nothing has changed then.
    """
    now = found or Environment(enter.key.space, enter.key.name, newest=enter.newest)
    refuse_moved(now)
    if now.tenant not in ("", enter.run):
        raise EnvironmentBusy(f"run {now.tenant} is changing the environment {now.name}", run=now.tenant)
    if now.unsettled not in ("", enter.run):
        raise unsettled_by(now)
    if now.turn != enter.expects:
        raise EnvironmentMoved(f"run {now.last} changed the environment {now.name} at this moment", run=now.last)
    if now.lent != enter.lent:
        raise EnvironmentMoved(f"another environment began to use servers of {now.name} at this moment", run=now.last)
    if now.newest not in (enter.run, enter.after):
        raise RunSuperseded(
            f"run {now.newest} has changed the environment {now.name} since run {enter.run}",
            hint=f"Roll back run {now.newest} first, or run the file again. To end all: batchwright destroy {now.name}",
            run=now.newest,
        )
    return replace(now, turn=now.turn + 1, tenant=enter.run, since=enter.at, last=enter.run)


def lent(found: Environment | None, seen: Environment) -> Environment:
    """The environment once a turn of another one has begun that uses its servers.

    Raises EnvironmentMoved unless it is as it was seen.
    """
    if found != seen:
        raise EnvironmentMoved(f"a run changed the environment {seen.name} at this moment", run=seen.last)
    return replace(seen, lent=seen.lent + 1)


def left(found: Environment | None, leave: Leave) -> Environment:
    """The environment once the turn has ended. Raises EnvironmentMoved unless it is that run's turn."""
    if found is None or found.tenant != leave.run:
        raise EnvironmentMoved(f"the environment {leave.key.name} is not run {leave.run}'s to change", run=leave.run)
    unsettled = leave.run if leave.unsettled else ""
    return replace(
        found, tenant="", since=0.0, newest=leave.newest, unsettled=unsettled, through=found.turn, fold=leave.fold
    )


def digest(resources: Iterable[Resource]) -> str:
    """What a plan was made against: which servers and services there are, and what was asked of them last."""
    told = [
        (one.key, one.provider, one.account, one.ref, one.request, one.whole)
        for one in sorted(resources, key=lambda one: one.key)
    ]
    if not told:
        return ""
    return hashlib.sha256(msgspec.json.encode(told, order="deterministic")).hexdigest()[:16]
