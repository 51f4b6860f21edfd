"""The provider port. Adapters send single requests and say what the answers mean; the engine owns retries and order.

The rule of a destroy, the same everywhere: it removes only what carries the label of the server's run. Whatever else is
attached to the server (a disk, a volume, an address, an interface, a backup) outlives it: it is detached first, or the
deletion is sent so that it stays. Where neither can be had, the destroy is refused and names it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from msgspec import Struct

from batchwright.model.diagnostic import Diagnostic
from batchwright.model.ids import Token
from batchwright.model.outcome import Created, Fault, FaultClass, Going, Gone, Observed, Rejected, Unknown
from batchwright.model.plan import Guard
from batchwright.model.ssh_access import SshAccess
from batchwright.model.workflow import ServerConfig
from batchwright.operations.server_batch import ServerRequest


class Capabilities(Struct, frozen=True):
    """What an adapter promises and what its servers can do. Rates are calls per second, 0 for no limit.

    >>> Capabilities(Guard.TOKEN, settle_seconds=30.0, rate=2.0, burst=5).concurrency
    50
    """

    guard: Guard
    settle_seconds: float  # after so long without a sighting, a create in doubt certainly made nothing
    poll_seconds: float = 1.0  # between two batched looks at servers that are starting
    concurrency: int = 50  # calls in flight per account
    rate: float = 0.0  # of creates
    burst: int = 1
    destroy_rate: float | None = None  # of destroys, counted apart; None: as many as creates
    destroy_burst: int | None = None
    call_timeout: float = 60.0  # seconds before an unanswered call counts as Unknown
    create_seconds: float = 30.0  # what a server usually takes, for estimates only
    cascades: tuple[str, ...] = ()  # what a destroy takes with it
    adopts: bool = True  # False: what a create made that was never answered cannot be found again
    destroys: bool = True  # False: the servers were there before, a destroy only lets them go
    init: bool = True  # servers have a service manager
    privileged: bool = True  # containers can run on them
    own_network: bool = True
    note: str = ""  # what people should know about its servers here


class ProviderHealthReport(Struct, frozen=True):
    """Whether the provider answers and accepts the credentials. `passing`: if not, a retry may help.

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
    """The price of a request per hour, in `currency`, if the provider tells prices.

    >>> Quote(0.02, "EUR").per_hour * 24
    0.48
    """

    per_hour: float
    currency: str


class Attached(Struct, frozen=True):
    """Something on a server that does not carry the label of the server's run, and so survives the server.

    `what` is for people: "disk 01...". `blocks` says why the server cannot be destroyed with it; empty if it can.

    >>> Attached("racks-7", "disk d-1", blocks="it cannot be detached").server
    'racks-7'
    """

    server: str
    what: str
    blocks: str = ""


def refuse_attached(attached: Sequence[Attached]) -> Rejected | None:
    """The refusal of a destroy that would also destroy something foreign; None if nothing blocks it.

    >>> refuse_attached([Attached("racks-7", "address 10.0.0.9")])
    >>> refused = refuse_attached([Attached("racks-7", "disk d-1", blocks="it cannot be detached")])
    >>> refused.fault.code
    'FOREIGN_ATTACHED'
    """
    blocking = [one for one in attached if one.blocks]
    if not blocking:
        return None
    told = "; ".join(f"{one.what} ({one.blocks})" for one in blocking)
    hint = "Take it off the server, or decide about it, then roll back again."
    return Rejected(Fault(FaultClass.PERMANENT, f"left alone, since it would take with it what is not ours: {told}",
                          "FOREIGN_ATTACHED", hint))  # fmt: skip


@runtime_checkable
class ShowsAttached(Protocol):
    """What a provider also has whose servers can have something attached that is not ours."""

    async def attached(self, refs: Sequence[str]) -> list[Attached]:
        """All of it on these servers: a preview, a destroy looks again. Raises ProviderUnavailable."""
        ...


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
        """What can be said without asking anybody: pure, no I/O."""
        ...

    async def open(self) -> None:
        """Connect and find credentials. Raises ProviderUnavailable."""
        ...

    async def aclose(self) -> None:
        """Let go of connections; may be called twice."""
        ...

    async def account(self) -> str:
        """A stable name of the account; only what lives in the same account is ever destroyed."""
        ...

    async def health(self) -> ProviderHealthReport:
        """One cheap read."""
        ...

    async def quota(self) -> Quota:
        """The account's limits; empty when the provider does not tell."""
        ...

    async def quote(self, requests: Sequence[ServerRequest]) -> Quote | None:
        """Price of all of them together, None when the provider does not tell. Whatever it raises is a warning."""
        ...

    async def resolve(self, configs: Sequence[ServerConfig]) -> list[ServerRequest | list[Diagnostic]]:
        """Names to ids, one answer per config in order; read-only."""
        ...

    async def quota_after(self, requests: Sequence[ServerRequest]) -> list[Diagnostic]:
        """What stands against making all of these: the account's limits, a right that is missing. Changes nothing.

        What cannot be asked and is not needed (limits, say) is a warning.
        """
        ...

    async def create(self, request: ServerRequest, token: Token) -> Created | Rejected | Unknown:
        """Send exactly one create request that carries the token and its labels; never retries inside."""
        ...

    async def find(self, run: str | None = None, token: str | None = None) -> list[Observed]:
        """A complete listing of what Batchwright made here: all of it, one run's, or one token's.

        Raises when the listing could not be completed; an incomplete one is never returned.
        """
        ...

    async def describe(self, refs: Sequence[str]) -> dict[str, Observed]:
        """A fresh look at these, in as few calls as can be; every ref is answered, GONE and NOT_VISIBLE too."""
        ...

    async def access(self, refs: Sequence[str]) -> dict[str, SshAccess]:
        """How these servers are reached over SSH, in as few calls as can be; one that cannot be reached is missing."""
        ...

    async def destroy(self, ref: str) -> Gone | Going | Rejected | Unknown:
        """One idempotent step towards its end; the engine calls again until Gone. Never takes what is not ours."""
        ...
