"""What the adapters of clouds with a REST API share: their life cycle, and the base of their live checks."""

from __future__ import annotations

import asyncio
import os
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

from msgspec.structs import replace

from batchwright.errors import ProviderUnavailable
from batchwright.model.call_outcome import Created, Observed, Rejected, Unknown
from batchwright.model.clock import Clock
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.fault import PASSING, FaultClass
from batchwright.model.plan import Guard
from batchwright.model.scalar import Scalar
from batchwright.model.ssh_access import SshAccess
from batchwright.model.update_behavior import ChangeWay
from batchwright.providers import generated_ssh_keys
from batchwright.providers.base import Capabilities, ChangesServers, Provider, ProviderHealthReport
from batchwright.providers.http import HttpReply, NoAnswer, NotSent
from batchwright.providers.live_check import AccountFinding, LiveCheck, Tell
from batchwright.providers.rest_client import RefusalRules, RestClient, meant, unreachable
from batchwright.providers.server_change import SentStops
from batchwright.providers.settings import RestSettings, rest_settings

SPARE_SECONDS = 10.0  # for a lookup that is not essential
BURST = 20
THROTTLED = f"are {BURST} reads at once throttled"

C = TypeVar("C", bound=RestClient)
F = TypeVar("F")  # what a cloud offers


class RestProvider(ABC, Generic[C, F]):
    """One account. No request is made before `open`, and credentials are read only then."""

    refusals: ClassVar[RefusalRules]
    table: ClassVar[type[RestSettings]]  # of config.toml
    guard: ClassVar[Guard]
    create_seconds: ClassVar[float]  # what a server usually takes, for estimates only
    cascades: ClassVar[tuple[str, ...]]  # what a destroy takes with it
    alive: ClassVar[str]  # the path of one cheap read
    beside: ClassVar[str]  # how the reference of what is no server begins
    user = "root"  # whom the images let in

    def __init__(self, name: str, clock: Clock, settings: Mapping[str, Scalar], environ: Mapping[str, str]) -> None:
        self.name = name
        self._settings = known = rest_settings(self.table, name, settings)
        self._clock, self._environ = clock, environ
        self._client: C | None = None
        self._account = ""
        self._offers: F | None = None
        self._unpriced = ""  # why prices are not known
        self._first = asyncio.Lock()  # whoever comes first reads the offers
        self._stops = SentStops(clock)
        self._seen: set[str] = set()  # servers that were there; a 404 for another one may be lag
        self.capabilities = Capabilities(
            guard=self.guard,
            settle_seconds=known.settle_seconds,
            visible_seconds=known.visible_seconds,
            visible_promised=self.guard is Guard.UNIQUE_NAME,
            exclusive=known.exclusive,
            poll_seconds=known.poll_seconds,
            concurrency=known.concurrency,
            rate=known.rate,
            burst=max(1, int(known.rate)),
            call_timeout=120.0,  # longer than one request may take, since a create or a listing may be several
            create_seconds=self.create_seconds,
            cascades=self.cascades,
            resizes=ChangeWay.STOPPED if isinstance(self, ChangesServers) else ChangeWay.REPLACE,
            relabels=ChangeWay.LIVE if isinstance(self, ChangesServers) else ChangeWay.REPLACE,
        )

    @classmethod
    def connect(cls, name: str, clock: Clock, settings: Mapping[str, Scalar]) -> Self:
        """How the registry makes one."""
        return cls(name, clock, settings, os.environ)

    async def open(self) -> None:
        if not self._settings.state_dir:
            raise ProviderUnavailable(
                f"{self.name} needs the setting state_dir: the keys of its servers are kept there", passing=False
            )
        client = self._connected()
        await self.aclose()
        self._client = client

    @abstractmethod
    def _connected(self) -> C:
        """A client with the credentials of the environment. Raises ProviderUnavailable."""

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    @property
    def _api(self) -> C:
        if self._client is None:
            raise ProviderUnavailable(f"the provider {self.name} is not open")
        return self._client

    async def health(self) -> ProviderHealthReport:
        began = self._clock.now()
        try:
            reply = await self._api.call("GET", self.alive)
        except (NotSent, NoAnswer) as error:
            return ProviderHealthReport(False, str(error), passing=True)
        if not reply.ok:
            fault = self.refusals.fault(reply)
            passing = fault.kind in PASSING or not self.refusals.certain(reply)
            return ProviderHealthReport(False, fault.message, passing=passing)
        return ProviderHealthReport(True, self.refusals.cloud, self._clock.now() - began)

    async def _rights(self, path: str, incomplete: object) -> list[Diagnostic]:
        """Problems with the permission to create, found by a request too incomplete to create anything.

        Raises ProviderUnavailable.
        """
        try:
            reply = await self._api.call("POST", path, incomplete)
        except (NotSent, NoAnswer) as error:
            raise unreachable(self.refusals.cloud, error) from error
        if reply.ok:
            message = f"{self.refusals.cloud} accepted a create request without its required fields"
            raise ProviderUnavailable(message, hint="Check whether it created a server, and please report it.")
        fault = self.refusals.fault(reply)
        return [Diagnostic("not-allowed", fault.message, fault.hint)] if fault.kind is FaultClass.AUTH else []

    async def _spare(self, look: Awaitable[dict[str, Any] | None]) -> tuple[dict[str, Any], str]:
        """An optional lookup: what it shows, or why that is unknown."""
        try:
            async with asyncio.timeout(SPARE_SECONDS):
                return await look or {}, ""
        except TimeoutError:
            return {}, f"{self.refusals.cloud} did not answer within {SPARE_SECONDS:g} s"
        except ProviderUnavailable as error:
            return {}, error.message

    async def _offered(self) -> F:
        async with self._first:
            if self._offers is None:
                self._offers = await self._read_offers()
        return self._offers

    @abstractmethod
    async def _read_offers(self) -> F:
        """Everything that is offered. Raises ProviderUnavailable."""

    def _created(self, reply: HttpReply, key: str) -> Created | Unknown:
        """The server that a create call made; the rest of the response may contain a password."""
        server = reply.body.get("server") if isinstance(reply.body, dict) else None
        if not isinstance(server, dict) or not server.get(key):
            return Unknown(f"{self.refusals.cloud} answered {reply.status} without naming the server it created")
        return Created(str(server[key]))

    async def _send(self, method: str, path: str, body: object) -> Rejected | Unknown | None:
        """Send one change of something that is there; None if it was taken."""
        reply = await meant(self._api.call(method, path, body))
        if not isinstance(reply, HttpReply):
            return reply
        if reply.ok:
            return None
        fault = self.refusals.fault(reply)
        return Rejected(fault) if self.refusals.certain(reply) else Unknown(fault.message)

    @property
    def _state(self) -> Path:
        return Path(self._settings.state_dir)

    def _host_key(self, run: str, token: str) -> generated_ssh_keys.KeyPair:
        return generated_ssh_keys.key_in(generated_ssh_keys.host_folder(self._state, run, token))

    @abstractmethod
    async def describe(self, refs: Sequence[str]) -> dict[str, Observed]:
        """The state of these servers, as the port defines it."""

    async def access(self, refs: Sequence[str]) -> dict[str, SshAccess]:
        seen = await self.describe([ref for ref in refs if not ref.startswith(self.beside)])
        return await asyncio.to_thread(
            lambda: {ref: self._way(one) for ref, one in seen.items() if one.address and one.token}
        )

    def _way(self, server: Observed) -> SshAccess:
        key, host_keys = generated_ssh_keys.run_key_file(self._state, server.run), generated_ssh_keys.host_keys
        return SshAccess(server.address, self.user, key=str(key), host_keys=host_keys(self._state, server))

    async def _with_host_keys(self, seen: dict[str, Observed]) -> dict[str, Observed]:
        """What was seen, with the host keys of servers that are older than their label."""
        told = partial(generated_ssh_keys.host_keys, self._state)
        return await asyncio.to_thread(
            lambda: {ref: replace(one, host_keys=told(one)) if one.token else one for ref, one in seen.items()}
        )


class RestCheck(LiveCheck, Generic[C, F]):
    """The live check of an opened provider with a REST API."""

    passing = (ProviderUnavailable, NotSent, NoAnswer)

    def __init__(self, provider: Provider, api: C, offered: Callable[[], Awaitable[F]], clock: Clock) -> None:
        super().__init__(provider, clock)
        self._api, self._offered = api, offered

    async def run(self, run: str, tell: Tell) -> list[AccountFinding]:
        try:
            return await super().run(run, tell)
        except (NotSent, NoAnswer) as error:
            raise unreachable(self._api.refusals.cloud, error) from error

    async def burst(self, path: str) -> None:
        """Send many reads at once."""
        answers = await asyncio.gather(*(self._api.call("GET", path) for _ in range(BURST)))
        turned_away = sum(answer.status == 429 for answer in answers)
        waits = sorted({answer.retry_after for answer in answers if answer.retry_after is not None})
        self.found(THROTTLED, f"{turned_away} of {BURST}, Retry-After {waits or 'not given'}")

    def said(self, reply: HttpReply) -> str:
        """A reply in short: its status and error code."""
        return f"HTTP {reply.status}" + ("" if reply.ok else f" {self._api.refusals.code(reply)}")
