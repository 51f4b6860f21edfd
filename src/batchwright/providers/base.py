"""The provider port. Adapters send single requests and interpret the answers; the engine owns retries and order.

The rule of a destroy, the same everywhere: it removes only what carries the label of the server's run. Anything else
attached to the server (a disk, a volume, an address, an interface, a backup) outlives it: it is detached first, or the
deletion is sent so that it stays. If neither is possible, the destroy is refused and names it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from msgspec import Struct

from batchwright.model.call_outcome import Created, Going, Gone, Observed, Rejected, Unknown
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.ids import Token
from batchwright.model.plan import Guard, ProviderFacts
from batchwright.model.ssh_access import SshAccess
from batchwright.model.update_behavior import ChangeWay, FieldWay
from batchwright.model.workflow import ServerConfig
from batchwright.operations.server_batch import ServerRequest


class Capabilities(Struct, frozen=True):
    """What an adapter guarantees and what its servers can do. Rates are calls per second, 0 for no limit.

    >>> Capabilities(Guard.TOKEN, settle_seconds=30.0, rate=2.0, burst=5).concurrency
    50
    """

    guard: Guard
    settle_seconds: float  # a create in doubt that is not seen for this long certainly created nothing
    poll_seconds: float = 1.0  # between two batched looks at servers that are starting
    concurrency: int = 50  # calls in flight per account
    rate: float = 0.0  # of creates
    burst: int = 1
    destroy_rate: float | None = None  # of destroys, limited separately; None: they count with the creates
    destroy_burst: int | None = None
    call_timeout: float = 60.0  # seconds before an unanswered call counts as Unknown
    create_seconds: float = 30.0  # typical time until a server is ready, for estimates only
    cascades: tuple[str, ...] = ()  # what a destroy also removes
    adopts: bool = True  # False: the result of an unanswered create cannot be found again
    visible_seconds: float | None = None  # a listing begun so long after a create shows it; None: settle_seconds
    visible_promised: bool = True  # False: the provider promises no such bound, so visible_seconds is an assumption
    exclusive: bool = False  # no other store creates servers in this account
    destroys: bool = True  # False: the servers existed before, a destroy only releases them
    init: bool = True  # servers have a service manager
    privileged: bool = True  # containers can run on them
    own_network: bool = True
    resizes: ChangeWay = ChangeWay.REPLACE  # how a server gets another plan, if nothing about the two plans forbids it
    relabels: ChangeWay = ChangeWay.REPLACE  # how a server gets other labels
    free: bool = False  # its servers cost nothing beyond the machines they are on
    outlives_seconds: float = 0.0  # for which a call may go on after its caller died; part of settle_seconds
    note: str = ""  # shown to people
    at: str = ""  # the place from which it is called; no adapter sets it

    def facts(self, name: str, account: str) -> ProviderFacts:
        """What a plan freezes of it.

        >>> Capabilities(Guard.LABEL_ONLY, settle_seconds=120.0, visible_seconds=30.0).facts("a", "b").visible_seconds
        30.0
        >>> Capabilities(Guard.UNIQUE_NAME, settle_seconds=30.0).facts("a", "b").visible_seconds
        0.0
        """
        looks = self.guard is not Guard.UNIQUE_NAME and self.adopts and not self.exclusive
        visible = self.settle_seconds if self.visible_seconds is None else self.visible_seconds
        return ProviderFacts(
            name,
            account,
            self.guard,
            self.settle_seconds,
            min(visible, self.settle_seconds) if looks else 0.0,  # settling waits for a late create and for its listing
            self.visible_promised or not looks,
            self.exclusive,
            self.at,
        )


class ProviderHealthReport(Struct, frozen=True):
    """Whether the provider answers and accepts the credentials. `passing`: a failure that may go away by itself.

    >>> ProviderHealthReport(False, "503 Service Unavailable", passing=True).passing
    True
    """

    ok: bool
    message: str
    latency_seconds: float = 0.0
    passing: bool = False


class Quota(Struct, frozen=True):
    """Limits of the account. `usage` maps a resource to (used, limit).

    >>> Quota({"servers": (3, 10)}).usage["servers"]
    (3, 10)
    """

    usage: dict[str, tuple[float, float]] = {}


class Quote(Struct, frozen=True):
    """The price of what was asked for, if the provider publishes it.

    >>> Quote(0.02, "EUR").per_hour * 24
    0.48
    """

    per_hour: float
    currency: str


class Attached(Struct, frozen=True):
    """Something on a server without the label of the server's run, which therefore outlives it.

    `what` is for people: "disk 01...". `blocks` says why the server cannot be destroyed while it is attached; empty if
    it can.

    >>> Attached("racks-7", "disk d-1", blocks="it cannot be detached").server
    'racks-7'
    """

    server: str
    what: str
    blocks: str = ""


def refuse_attached(attached: Sequence[Attached]) -> Rejected | None:
    """The refusal of a destroy that would also remove something foreign.

    >>> refuse_attached([Attached("racks-7", "address 10.0.0.9")])
    >>> refused = refuse_attached([Attached("racks-7", "disk d-1", blocks="it cannot be detached")])
    >>> refused.fault.code
    'FOREIGN_ATTACHED'
    """
    blocking = [one for one in attached if one.blocks]
    if not blocking:
        return None
    told = "; ".join(f"{one.what} ({one.blocks})" for one in blocking)
    hint = "Detach it from the server or delete it, then roll back again."
    return Rejected(Fault(FaultClass.PERMANENT, f"not destroyed: that would also remove what is not ours: {told}",
                          "FOREIGN_ATTACHED", hint))  # fmt: skip


@runtime_checkable
class ShowsAttached(Protocol):
    """Implemented by providers on whose servers foreign things can be attached."""

    async def attached(self, refs: Sequence[str]) -> list[Attached]:
        """All foreign things on these servers, for a preview; a destroy looks again. Raises ProviderUnavailable."""
        ...


@runtime_checkable
class ChangesServers(Protocol):
    """Implemented by providers that can change servers in place. Elsewhere every change needs a new server."""

    def ways(self, observed: Observed, request: ServerRequest) -> Mapping[str, FieldWay]:
        """How the fields "plan" and "labels" of this server become those of the request. Pure, no I/O.

        The answer is about these two values: a plan that this server cannot take in place is REPLACE, with the reason
        in its note. A field that is not in the answer is REPLACE too.
        """
        ...

    async def change(
        self, ref: str, request: ServerRequest, before: ServerRequest
    ) -> Created | Going | Rejected | Unknown:
        """One idempotent step towards the plan and the labels of `request`; the engine repeats it until Created.

        It takes no token: after a lost answer, or by another process after a crash, the same call is sent again.
        `before` is what was last asked for. Its labels that are not in `request` are removed; all other labels on the
        server stay, so `request` and `before` swapped is the way back. The labels of the run and the token never
        change, nor does anything else on the server.

        Created: the server has the values, and runs or is starting (`ready` says which). Going: a step was taken, or
        the server is between two states. A server that is found stopped with the right plan is started. Rejected: the
        provider refused the values, and the server is running or starting again with its former plan; it may already
        have the new labels, or the new plan if the labels were refused. If even the start is refused, that refusal is
        the answer, and the next call tries it again. Rejected with THROTTLE: the server may be stopped until the same
        call is taken. With NOT_FOUND: it is gone. With CONFLICT: it does not carry the labels of a run, and nothing was
        sent.
        """
        ...


def ways_of(provider: object, observed: Observed, request: ServerRequest) -> Mapping[str, FieldWay]:
    """The provider's `ways`; of a provider that changes no servers, nothing, which means REPLACE for every field.

    >>> ways_of(object(), Observed("racks-7", "ready"), ServerRequest("web-01", "small", "eu"))
    {}
    """
    return provider.ways(observed, request) if isinstance(provider, ChangesServers) else {}


@runtime_checkable
class AnswersWaysTogether(Protocol):
    """Implemented by providers whose adapter is elsewhere: it has to be asked for the ways of servers."""

    async def ways_of_each(self, pairs: Sequence[tuple[Observed, ServerRequest]]) -> Sequence[Mapping[str, FieldWay]]:
        """The ways of each of these servers, in order. Raises ProviderUnavailable."""
        ...


async def ways_of_each(
    provider: object, pairs: Sequence[tuple[Observed, ServerRequest]]
) -> Sequence[Mapping[str, FieldWay]]:
    """The `ways` of each of these servers, in order, in one call. Raises ProviderUnavailable."""
    if isinstance(provider, AnswersWaysTogether):
        return await provider.ways_of_each(pairs)
    return [ways_of(provider, observed, request) for observed, request in pairs]


class Provider(Protocol):
    """One account at one provider. An exception raised by `create` or `destroy` counts as Unknown.

    docs/adding-a-provider.md explains each method. An adapter begins like this, and inherits from nothing:

    >>> import asyncio
    >>> class Racks:
    ...     name = "racks"
    ...     capabilities = Capabilities(Guard.UNIQUE_NAME, settle_seconds=5.0)
    ...     async def create(self, request: ServerRequest, token: Token) -> Created | Rejected | Unknown:
    ...         if request.plan != "small":
    ...             return Rejected(Fault(FaultClass.INVALID, f'there is no plan "{request.plan}"'))
    ...         return Created(f"racks-{request.name}")
    >>> asyncio.run(Racks().create(ServerRequest("web-01", "small", "eu"), Token("abcdefabcdef", "t")))
    Created(ref='racks-web-01', ready=False, address='')
    """

    name: str
    capabilities: Capabilities

    def validate(self, config: ServerConfig) -> list[Diagnostic]:
        """Problems that can be found without any request. Pure, no I/O."""
        ...

    async def open(self) -> None:
        """Connect and find credentials. Raises ProviderUnavailable."""
        ...

    async def aclose(self) -> None:
        """Close connections; may be called twice."""
        ...

    async def account(self) -> str:
        """A stable name of the account. A run only destroys what is in the same account."""
        ...

    async def health(self) -> ProviderHealthReport:
        """Whether the account can be used, found by one cheap read."""
        ...

    async def quota(self) -> Quota:
        """The account's limits; empty if the provider does not tell them."""
        ...

    async def quote(self, requests: Sequence[ServerRequest]) -> Quote | None:
        """The price of all requests together; None if unknown. Whatever it raises becomes a warning."""
        ...

    async def resolve(self, configs: Sequence[ServerConfig]) -> list[ServerRequest | list[Diagnostic]]:
        """Resolve names to ids: one answer per configuration, in order. Read-only."""
        ...

    async def quota_after(self, requests: Sequence[ServerRequest]) -> list[Diagnostic]:
        """Problems with creating all of these: the account's limits, missing permissions. Changes nothing.

        Facts that cannot be read and are not essential (limits, for example) are a warning.
        """
        ...

    async def create(self, request: ServerRequest, token: Token) -> Created | Rejected | Unknown:
        """Send exactly one create request that carries the token and its labels; never retries inside."""
        ...

    async def find(self, run: str | None = None, token: str | None = None) -> list[Observed]:
        """A complete listing of what Batchwright created here: everything, one run's, or one token's.

        Raises if the listing could not be completed; never returns a partial one.
        """
        ...

    async def describe(self, refs: Sequence[str]) -> dict[str, Observed]:
        """A fresh look at these, in as few calls as possible. Every reference is answered, with GONE or NOT_VISIBLE
        too.
        """
        ...

    async def access(self, refs: Sequence[str]) -> dict[str, SshAccess]:
        """How to reach these servers over SSH, in as few calls as possible. Servers that cannot be reached are left
        out.
        """
        ...

    async def destroy(self, ref: str) -> Gone | Going | Rejected | Unknown:
        """One idempotent step towards removal; the engine repeats it until Gone. It never removes what is not ours."""
        ...
