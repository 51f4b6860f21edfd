"""The plan: every step with its order and its undo, frozen before anything is changed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Self

import msgspec
from msgspec import Struct

from batchwright.model.actions import TRAITS, Action, Doubt, Traits, Undo
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.fault import FaultClass
from batchwright.model.machine_rules import RULES, SEMANTICS, Rules
from batchwright.model.price import Offer, Price
from batchwright.model.scalar import Scalar
from batchwright.model.templates import PlannedValue, Value, Values
from batchwright.model.webhook import Webhook
from batchwright.model.workflow import AcceptedDifference, Dependency, DependencyKind, DependencyScope, OnFailure, Retry


class Guard(StrEnum):
    """How a provider keeps a repeated create from making a second server.

    >>> Guard("token") is Guard.TOKEN
    True
    """

    TOKEN = "token"  # noqa: S105 - the provider takes an idempotency token
    UNIQUE_NAME = "unique_name"
    LABEL_ONLY = "label_only"  # nothing does: look for the label until the settle time has passed


class Request:
    """What a step sends. Each operation type has its own struct of this kind; `kind` tells them apart in a plan.

    `references` are those in its texts, which then are templates. `values` are what they stand for: a request of a plan
    has none of its own operation, and what is kept of an applied one has those it was applied with.
    """

    __slots__ = ()

    name: str  # of what it makes or runs, for people
    answers: Mapping[str, int] = {}  # names of the exit codes of success of its program
    idempotent: bool = True  # whether a call whose outcome is not known may be sent again
    zone: str = ""  # of a server
    plan: str = ""  # of a server
    at: str = ""  # the place from which it is done; "": from where its server's provider is called
    outputs: tuple[str, ...] = ()  # names of the values that it gives
    references: tuple[str, ...] = ()
    values: Mapping[str, Value] = MappingProxyType({})

    @classmethod
    def kind(cls) -> str:
        """Its tag in a plan."""
        return str(cls.__struct_config__.tag)  # type: ignore[attr-defined]

    def public(self) -> Self:
        """The request as shown to callers who may only read."""
        return self

    def with_values(self, values: Values) -> Self:
        """The request with what its references stand for, as far as that is known."""
        known = {name: values[name] for name in self.references if name in values}
        return msgspec.structs.replace(self, values={**self.values, **known}) if known else self  # type: ignore[type-var]

    @property
    def other_servers(self) -> tuple[str, ...]:
        """The names of servers that it needs beside the one that it works on."""
        return ()

    @property
    def other_steps(self) -> tuple[str, ...]:
        """The steps that make or find them."""
        return ()

    def with_steps(self, _steps: Mapping[str, str]) -> Self:
        """The request in another plan, in which these steps make or find the servers of these names."""
        return self


class ServerFacts(Struct, frozen=True, gc=False, omit_defaults=True):
    """What a provider knows about a server before it exists, for planning.

    0, "" and None mean that the provider does not say. `memory_mb` is in MiB.

    >>> ServerFacts(memory_mb=2048, cpus=2, os="debian", release="12").own_network is None
    True
    """

    memory_mb: int = 0
    cpus: int = 0
    own_network: bool | None = None  # False: it shares the network of the machine it is on
    os: str = ""  # "debian"
    release: str = ""  # "12"


class Need(Struct, frozen=True, gc=False, array_like=True):
    """An edge to another step: of the same operation, or of one that is depended on per server."""

    step: str
    kind: DependencyKind = DependencyKind.HARD


class Retired(Struct, frozen=True, gc=False):
    """The resource that a step takes away: its key, and for a server the labels that it must carry.

    A server without labels is borrowed from another environment: it is only released.
    """

    key: str
    run: str = ""
    token: str = ""


# Fields of a change that are no fields of a request: the catalogue entry by its digest, whether the last install
# finished, that it was asked for again, the reference of a server that someone else destroyed, and the run of one that
# is adopted.
ENTRY, FINISHED, REINSTALL, DESTROYED, ADOPTED = "entry", "finished", "reinstall", "ref", "run"
OLD = "!old"  # ends the id of the step that first destroys the server that another one replaces
GOES_WITH = "taskservs"  # what is on a server that is destroyed
REPLACE_ORDER = "replace_order"  # whether the server that a new one replaces goes first or last


class FieldChange(Struct, frozen=True, gc=False, omit_defaults=True, rename={"old": "from", "new": "to"}):
    """One field of what a step changes, as text. None: not set, or not known; a secret is only named.

    `known`: false if the new value is known only once the run has got there. `stops`: the server is stopped for it.
    `note` is what else its provider says.
    """

    field: str
    old: str | None = None
    new: str | None = None
    known: bool = True
    stops: bool = False
    note: str = ""


class Before(Struct, frozen=True, gc=False, omit_defaults=True):
    """What stood there when a step that changes it was planned: the request last applied, which undoing applies again.

    A server is changed only while it carries these labels of the run and the step that created it. `made_by` and
    `changed_by` are the runs that did so, with their turns.
    """

    request: Request
    run: str = ""
    token: str = ""
    made_by: str = ""
    made_turn: int = 0
    changed_by: str = ""
    changed_turn: int = 0


class Labels(Struct, frozen=True, gc=False):
    """What a server carries of the run and the step that created it; it is destroyed and changed only by these."""

    run: str
    token: str


class Hold(Struct, frozen=True, gc=False, omit_defaults=True):
    """People are asked before the run goes on.

    `of` are the names of access tokens, or roles, that may answer; empty: everybody but the one who submitted the run.
    `quorum` is how many must agree. The question is open for `expires` seconds, 0: until somebody answers; `go_on` says
    what happens then: the run goes on, or the step fails.
    """

    of: tuple[str, ...] = ()
    quorum: int = 1
    expires: float = 0.0
    go_on: bool = False


class Alternative(Struct, frozen=True, gc=False):
    """Where else a server may be created, if no room is left for it elsewhere: the provider, and what it is sent."""

    provider: str
    request: Request

    @property
    def offer(self) -> Offer:
        """What the price of the server is for."""
        return self.provider, self.request.plan, self.request.zone


class Step(Struct, frozen=True, gc=False, omit_defaults=True):
    """The unit of execution, checkpoint, retry and undo.

    `provider` is the provider whose server this is or whose variant is installed, "" for a command. `server` is the
    step that makes the server a task service goes on or a command runs on, "" for this machine. `ref` is the server
    that a KEEP or UPDATE step finds, and `unclear` says that the run which created it did not get as far as to see that
    it has no twin. `seconds` is an estimate. `changes` say in what that which stands there differs from what is asked
    for, and `before` what stands there. `gone`: the server that it retires had vanished when the plan was made.
    `adopts` are the labels of a server of another store that the environment owns from then on; `lender` is the
    environment that owns the server which is kept, "" if it is this one. `leftover`: an earlier run was to destroy the
    server that it retires. `wave` is the wave of its operation that it is in, or, of a gate, the one behind it; 0 if
    there are none. `hold`: people are asked. `part`: half of another step, not counted. `alternatives`: where else its
    server may be created, in this order. Its place is 0, its own `provider` and `request`, or one of them, from 1.
    """

    id: str
    operation: str
    provider: str
    action: Action
    undo: Undo
    request: Request
    needs: tuple[Need, ...] = ()
    server: str = ""
    ref: str = ""
    seconds: float = 1.0
    retired: Retired | None = None
    unclear: bool = False
    changes: tuple[FieldChange, ...] = ()
    before: Before | None = None
    gone: bool = False
    adopts: Labels | None = None
    lender: str = ""
    leftover: bool = False
    wave: int = 0
    hold: Hold | None = None
    alternatives: tuple[Alternative, ...] = ()
    part: bool = False

    @property
    def counted(self) -> bool:
        """Whether it is one of the steps of its operation that people count."""
        return self.traits.counted and not self.part

    @property
    def in_place(self) -> bool:
        """Whether it creates a server once the one that it replaces is gone."""
        return any(need.step == f"{self.id}{OLD}" for need in self.needs)

    @property
    def traits(self) -> Traits:
        """What the engine may know about its action."""
        return TRAITS[self.action]

    @property
    def offer(self) -> Offer:
        """What the price of its server is for."""
        return self.provider, self.request.plan, self.request.zone

    def at(self, place: int) -> Step:
        """The step as it is carried out at one of its places."""
        if not place:
            return self
        chosen = self.alternatives[place - 1]
        return msgspec.structs.replace(self, provider=chosen.provider, request=chosen.request)

    @property
    def requests(self) -> tuple[Request, ...]:
        """What is sent, one for each of its places."""
        return (self.request, *(one.request for one in self.alternatives))

    @property
    def offers(self) -> tuple[Offer, ...]:
        """What the price of its server may be for, one for each of its places."""
        return (self.offer, *(one.offer for one in self.alternatives))

    @property
    def doubt(self) -> Doubt:
        """How a call of this step with an unknown outcome is settled."""
        doubt = self.traits.doubt
        return Doubt.REPEAT if doubt is Doubt.ASK and self.request.idempotent else doubt

    def public(self) -> Step:
        """The step as shown to callers who may only read."""
        before = self.before and msgspec.structs.replace(self.before, request=self.before.request.public())
        alternatives = tuple(Alternative(one.provider, one.request.public()) for one in self.alternatives)
        return msgspec.structs.replace(self, request=self.request.public(), before=before, alternatives=alternatives)

    @property
    def existed(self) -> bool:
        """Whether it only finds what existed before the run, which a rollback keeps."""
        return self.undo is Undo.NOTHING and self.traits.lasts


class PlannedOperation(Struct, frozen=True, gc=False, omit_defaults=True):
    """An operation: a barrier around its steps. `lane` is the account whose limits its calls use.

    `provider` is "" for commands, which are no provider's. `min_success` is how many of its steps must succeed, "18",
    or which share, "90%"; empty: all of them. `when`: the answer that a command must have given, by its operation;
    otherwise the operation is not wanted. `otherwise_on` are the classes of refusals after which its servers go to one
    of their alternatives.
    """

    id: str
    type: str
    provider: str
    lane: str
    dependencies: tuple[Dependency, ...]
    on_failure: OnFailure
    retry: Retry
    timeout: float
    min_success: str = ""
    when: dict[str, str] = {}
    parallel_limit: int = 0  # most of its steps in flight at once; 0: as many as the run may have
    otherwise_on: tuple[FaultClass, ...] = ()


class ProviderFacts(Struct, frozen=True, gc=False, omit_defaults=True):
    """What the crash protocol must know about a provider, frozen so that a recovery behaves as the run did.

    `visible_seconds`: a complete listing that begins this long after a create took effect shows the server. 0: a new
    server is used without a look for others of its name: there can be none, or none can be seen. `visible_promised`
    is false if the time is an assumption. `exclusive`: no other store creates servers in this account. `at` is the
    place from which it was called.
    """

    name: str
    account: str
    guard: Guard
    settle_seconds: float
    visible_seconds: float = 0.0
    visible_promised: bool = True
    exclusive: bool = False
    at: str = ""


class Plan(Struct, frozen=True):
    """A workflow ready to run; operations and steps are in an order that respects their dependencies."""

    workflow: str
    version: str
    storage_backend: str
    parallel_limit: int
    rollback_enabled: bool
    operations: tuple[PlannedOperation, ...]
    steps: tuple[Step, ...]
    providers: tuple[ProviderFacts, ...] = ()
    warnings: tuple[Diagnostic, ...] = ()
    semantics: int = SEMANTICS
    simulation: dict[str, Scalar] | None = None
    environment: str = ""  # its name; in plans older than this field the workflow's
    base: str = ""  # digest of what the environment had when this was planned
    accepted: tuple[AcceptedDifference, ...] = ()  # differences that drift does not count
    notify: tuple[Webhook, ...] = ()
    prices: tuple[Price, ...] = ()  # of its servers, as far as something is decided by them
    left_accounts: tuple[tuple[str, str], ...] = ()  # provider and account, with servers that it does not touch
    values: tuple[PlannedValue, ...] = ()  # of the references in its requests

    @property
    def rules(self) -> Rules:
        """How it is driven. Plans of a later version can only be looked at."""
        return RULES.get(self.semantics, RULES[SEMANTICS])

    def clear_seconds(self, step: Step) -> float:
        """For how long the server of a step is not used, since another run may have created its twin; 0: not at all."""
        if not (self.rules.clear_looks and (step.traits.sweeps or step.unclear)):
            return 0.0
        facts = (one for one in self.providers if one.name == step.provider and one.guard is not Guard.UNIQUE_NAME)
        return next((one.visible_seconds for one in facts), 0.0)

    @property
    def lanes(self) -> tuple[str, ...]:
        """The accounts whose limits its calls use."""
        alternatives = {one.provider for step in self.steps for one in step.alternatives}
        return tuple(sorted(alternatives.union(op.lane for op in self.operations if op.lane)))

    def hash(self) -> str:
        """A short digest of everything that matters: without the warnings, estimates, prices and known values."""
        steps = tuple(msgspec.structs.replace(step, seconds=1.0) for step in self.steps)
        bare = msgspec.structs.replace(self, warnings=(), prices=(), values=(), steps=steps)
        fields = msgspec.to_builtins(bare, order="deterministic")
        # plans older than these fields keep their hash
        for name in ("environment", "base", "accepted", "notify", "prices", "left_accounts", "values"):
            if not fields[name]:
                del fields[name]
        for dependency in (one for op in fields["operations"] for one in op["dependencies"]):
            if dependency["per"] == DependencyScope.OPERATION:
                del dependency["per"]
        return hashlib.sha256(msgspec.json.encode(fields, order="deterministic")).hexdigest()[:16]
