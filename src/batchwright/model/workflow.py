"""What the user wrote, after the contracts of schemas/workflows.ncl have normalised it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from enum import StrEnum
from typing import Any, ClassVar, Self

from msgspec import Struct
from msgspec.structs import replace

from batchwright.model.fault import FaultClass
from batchwright.model.guardrail_limits import NO_LIMITS, GuardrailLimits
from batchwright.model.webhook import Webhook


class DependencyKind(StrEnum):
    """How an operation depends on another."""

    HARD = "hard"  # runs only if the dependency succeeded, else it is skipped
    SOFT = "soft"  # waits until the dependency ended, runs whatever its end was
    FAILED = "failed"  # runs only if the dependency failed


class DependencyScope(StrEnum):
    """How much of a dependency an operation waits for."""

    OPERATION = "operation"  # all of it
    SERVER = "server"  # each step only for the steps on its own server


class OnFailure(StrEnum):
    """What a failed step does to the rest of the run."""

    CONTINUE = "continue"  # independent branches continue
    STOP = "stop"  # nothing new is started
    ROLLBACK = "rollback"  # nothing new is started, then what was made is undone


class ReplaceOrder(StrEnum):
    """When a server goes that a new one replaces."""

    OLD_FIRST = "old_first"  # before the new one is created
    NEW_FIRST = "new_first"  # last of all, once everything on the new one has succeeded


class HoldAfter(StrEnum):
    """After which waves of an operation people are asked."""

    NEVER = "never"
    FIRST = "first"
    EACH = "each"


class OnExpiry(StrEnum):
    """What happens when nobody answered in time."""

    FAIL = "fail"
    GO_ON = "go_on"


class WaveHold(Struct, frozen=True):
    """Who is asked after a wave: names of access tokens, or roles. `quorum` is how many must agree, within `expires`
    seconds; None: the question stays open.
    """

    of: tuple[str, ...] = ()
    quorum: int = 1
    expires: float | None = None
    on_expiry: OnExpiry = OnExpiry.FAIL


class Dependency(Struct, frozen=True):
    """One edge to another operation."""

    id: str
    kind: DependencyKind = DependencyKind.HARD
    per: DependencyScope = DependencyScope.OPERATION


class Retry(Struct, frozen=True):
    """How often a step is tried; delays are seconds, doubled each time, with jitter."""

    max_attempts: int = 3
    initial_delay: float = 1.0
    max_delay: float = 60.0


class ServerConfig(Struct, frozen=True):
    """One server as the user describes it; plan, zone, image and network are the provider's own names.

    `options` are further fields, which the provider's own Nickel contract allows for its servers.

    >>> ServerConfig("web-01", plan="small", zone="eu", options={"rack": 7}).options["rack"]
    7
    """

    name: str
    plan: str = ""
    zone: str = ""
    image: str | None = None
    ssh_keys: tuple[str, ...] = ()
    user_data: str | None = None
    labels: dict[str, str] = {}
    network: str | None = None
    options: dict[str, Any] = {}

    templates: ClassVar[frozenset[str]] = frozenset({"user_data"})


class ServerAlternative(Struct, frozen=True):
    """Where else a server may be created: what differs there from how the file describes it; None: nothing."""

    provider: str | None = None
    plan: str | None = None
    zone: str | None = None
    image: str | None = None
    network: str | None = None
    ssh_keys: tuple[str, ...] | None = None
    user_data: str | None = None

    templates: ClassVar[frozenset[str]] = frozenset({"user_data"})

    def of(self, config: ServerConfig, provider: str) -> ServerConfig:
        """The server as it is created there; `provider` is the one that the file asks for first.

        Names of images and networks, and further fields, are a provider's own: they do not hold at another one.
        """
        own = self.provider in (None, provider)
        kept = config if own else replace(config, image=None, network=None, options={})
        fields = (name for name in self.__struct_fields__ if name != "provider")
        return replace(kept, **{name: value for name in fields if (value := getattr(self, name)) is not None})


class ServerPlace(Struct, frozen=True):
    """One of the places where a server may be created. `number` is 0 for what the file asks for first, else that of the
    alternative, counted from 1.
    """

    number: int
    provider: str
    config: ServerConfig


class Operation:
    """What the structs of all operation types share; operations/ has one module for each type."""

    __slots__ = ()

    id: str
    provider: str = ""  # "" where it is no provider's
    dependencies: tuple[Dependency, ...]
    retry: Retry
    timeout: float  # seconds, per step
    on_failure: OnFailure | None
    when: dict[str, str]  # commands, by their operations, with the answers that they must have given
    parallel_limit: int | None = None  # most of its steps in flight at once
    answers: Mapping[str, int] = {}  # names of the exit codes of success of its program
    unless: tuple[str, ...] = ()  # a program that tells whether its own is needed
    otherwise: tuple[ServerAlternative, ...] = ()  # where else its servers may be created
    otherwise_on: tuple[FaultClass, ...] = ()  # after these refusals
    targets: tuple[str, ...] | None = None  # operation ids or server names that its steps work on
    waves: tuple[int | str, ...] | None = None  # how many begin together: numbers, or shares such as "50%"
    hold_after: HoldAfter | None = None
    hold: WaveHold | None = None  # who is asked then; None: anybody, until somebody answers
    min_success: int | str | None = None  # how many of its steps must succeed, or which share; None: all
    templates: ClassVar[frozenset[str]] = frozenset()  # fields whose texts may hold references

    @property
    def type(self) -> str:
        """Its type as the workflow file names it."""
        return str(self.__struct_config__.tag)  # type: ignore[attr-defined]

    @property
    def edges(self) -> tuple[Dependency, ...]:
        """All that it depends on: its dependencies, and the commands whose answers it asks for."""
        named = {one.id for one in self.dependencies if one.kind is DependencyKind.HARD}
        return (*self.dependencies, *(Dependency(probe) for probe in self.when if probe not in named))

    def anchored(self, _whole: Callable[[str], str]) -> Self:
        """The operation with absolute paths for folders that it names relative to the workflow file."""
        return self


class Permission(StrEnum):
    """Whether a plan may do something that destroys."""

    ALLOWED = "allowed"
    REFUSED = "refused"
    REQUESTED = "requested"  # on the command line or in the request; no file says so


ALL = "all"


class Changes(Struct, frozen=True):
    """What a plan may destroy. `retire`: servers and task services that the file no longer asks for.

    `replace`: servers that cannot become what the file asks for; `replace_servers` are those for which it is allowed
    anyway. `adopt`: servers of other stores that the environment takes over. `reinstall`: task services, or servers for
    all that is on them, that are installed again although nothing changed; "all" stands for all. `other_account`: what
    is in an account that a provider is not any more stays there, unreached.
    """

    retire: Permission = Permission.REFUSED
    replace: Permission = Permission.REFUSED
    replace_servers: tuple[str, ...] = ()
    reinstall: tuple[str, ...] = ()
    adopt: tuple[str, ...] = ()
    other_account: bool = False

    def replaces(self, server: str) -> bool:
        """Whether this server may be destroyed and created anew."""
        return self.replace is Permission.ALLOWED or server in self.replace_servers

    def reinstalls(self, server: str, taskserv: str) -> bool:
        """Whether this task service is installed again although nothing changed."""
        return not {ALL, server, taskserv}.isdisjoint(self.reinstall)


class AcceptedDifference(Struct, frozen=True):
    """Differences of a server from what was asked for that are known and wanted for a while, with the reason.

    `fields` are of the server: plan, zone, image, labels. `taskservs` are task services on it. `end` is the last day on
    which it holds, in UTC: "2026-12-31".
    """

    server: str
    reason: str
    end: str
    fields: tuple[str, ...] = ()
    taskservs: tuple[str, ...] = ()

    def holds(self, today: date) -> bool:
        """Whether it holds on this day; never, if its end is a day that no calendar has."""
        try:
            return today <= date.fromisoformat(self.end)
        except ValueError:
            return False


class Drift(Struct, frozen=True):
    """What `drift` does not count."""

    accept: tuple[AcceptedDifference, ...] = ()


class Workflow(Struct, frozen=True):
    """A whole workflow file, evaluated and valid."""

    name: str
    version: str
    operations: tuple[Operation, ...]
    description: str | None = None
    storage_backend: str = "filesystem"
    parallel_limit: int = 10
    rollback_enabled: bool = True
    on_failure: OnFailure = OnFailure.CONTINUE
    environment: str | None = None
    changes: Changes = Changes()
    drift: Drift = Drift()
    notify: tuple[Webhook, ...] = ()
    limits: GuardrailLimits = NO_LIMITS

    @property
    def environment_name(self) -> str:
        """The name of the environment that its runs change: NAME, or NAME/ENVIRONMENT."""
        return f"{self.name}/{self.environment}" if self.environment else self.name
