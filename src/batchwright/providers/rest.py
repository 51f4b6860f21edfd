"""What clouds with a REST API share: their refusals, requests, and the life cycle of their adapters."""

from __future__ import annotations

import asyncio
import os
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

from msgspec import Struct

from batchwright.errors import ProviderThrottled, ProviderUnavailable
from batchwright.model.call_outcome import PASSING, Created, Fault, FaultClass, Observed, Rejected, Unknown
from batchwright.model.clock import Clock
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.plan import Guard
from batchwright.model.scalar import Scalar
from batchwright.model.ssh_access import SshAccess
from batchwright.providers import ssh_key_files
from batchwright.providers.base import Capabilities, Provider, ProviderHealthReport
from batchwright.providers.http import Http, HttpReply, NoAnswer, NotSent, Query
from batchwright.providers.live_check import AccountFinding, LiveCheck, Tell
from batchwright.providers.settings import RestSettings, rest_settings

MESSAGE_MAX = 300  # characters of a cloud's message that are shown
PAGES_MAX = 1000  # of one listing
SPARE_SECONDS = 10.0  # for a lookup that is not essential
READINGS_MAX = 5  # of a listing that was not certainly complete
BURST = 20
THROTTLED = f"are {BURST} reads at once throttled"

T = TypeVar("T")


class RefusalRules(Struct, frozen=True):
    """The error format of a cloud. `error_of` returns code and message of a body, both empty if it has none."""

    cloud: str  # its name in words
    error_of: Callable[[Any], tuple[str, str]]
    class_of: Callable[[int, str], FaultClass]  # by status and code
    hints: Mapping[Any, str]  # by code, else by class
    absent: str  # how the code of a 404 ends that means that there is no such thing

    def code(self, reply: HttpReply) -> str:
        """The cloud's error code; empty if there is none."""
        return self.error_of(reply.body)[0]

    def fault(self, reply: HttpReply) -> Fault:
        """The Fault for a refusal. The cloud's message is shortened; it never contains the credentials."""
        code, message = self.error_of(reply.body)
        kind = self.class_of(reply.status, code)
        unsaid = "an explanation" if reply.status >= 400 else f"an answer of {self.cloud}; is there a proxy in between?"
        said = " ".join(message.split())[:MESSAGE_MAX] or f"HTTP {reply.status} without {unsaid}"
        who = f"{self.cloud} refused the credentials or the permission" if kind is FaultClass.AUTH else self.cloud
        return Fault(
            kind,
            f"{who}: {said}",
            code or f"HTTP_{reply.status}",
            self.hints.get(code) or self.hints.get(kind, ""),
            reply.retry_after,
        )

    def certain(self, reply: HttpReply) -> bool:
        """Whether a refusal certainly had no effect: the cloud itself refused, or its gateway did."""
        return 400 <= reply.status < 500 and (bool(self.code(reply)) or reply.status in (401, 403, 413, 429))

    def nothing(self, reply: HttpReply) -> bool:
        """Whether it says that the resource does not exist."""
        code = self.code(reply)
        return reply.status == 404 and code.lower().endswith(self.absent)


class LookRefused(ProviderUnavailable):
    """The cloud refused a lookup. It has a class of its own, since some lookups are optional or have an alternative."""

    def __init__(self, fault: Fault, path: str, passing: bool) -> None:
        hint = fault.hint or "Try again in a moment."
        super().__init__(f"{fault.message} ({path})", hint=hint, passing=passing)
        self.fault = fault


class Rest(Http):
    """One connection pool to an API that answers in JSON. `url` has no slash at its end."""

    refusals: ClassVar[RefusalRules]

    def __init__(self, url: str, authorization: str, page: int) -> None:
        super().__init__(url, authorization)
        self.page = page  # entries per page of a listing

    async def look(self, path: str, query: Query = ()) -> dict[str, Any] | None:
        """A GET of what may not be there (None). Raises ProviderUnavailable."""
        cloud = self.refusals.cloud
        try:
            reply = await self.call("GET", path, query=query)
        except (NotSent, NoAnswer) as error:
            raise _unasked(cloud, error) from error
        if self.refusals.nothing(reply):
            return None
        if 200 <= reply.status < 400 and not isinstance(reply.body, dict):
            message = f"{cloud}'s answer to {path} is not JSON (HTTP {reply.status})"
            raise ProviderUnavailable(message, hint="Is there a proxy in between?", passing=True)
        if not reply.ok:
            fault = self.refusals.fault(reply)
            if fault.kind is FaultClass.THROTTLE:
                raise ProviderThrottled(fault.message, retry_after=fault.retry_after)
            # what the cloud itself did not say comes from something in between, and passes
            raise LookRefused(fault, path, fault.kind in PASSING or not self.refusals.certain(reply))
        body: dict[str, Any] = reply.body
        return body

    async def read(self, path: str, query: Query = ()) -> dict[str, Any]:
        """GET something that must exist. Raises ProviderUnavailable."""
        body = await self.look(path, query)
        if body is None:
            message = f"{self.refusals.cloud} answered 404 for {path}"
            raise ProviderUnavailable(message, hint="Is the address of the API right?")
        return body


def _unasked(cloud: str, error: Exception) -> ProviderUnavailable:
    return ProviderUnavailable(f"{cloud} cannot be reached: {error}", hint="Try again in a moment.", passing=True)


async def meant(change: Awaitable[T]) -> T | Rejected | Unknown:
    """The outcome of a change, also if it was never sent or is unknown."""
    try:
        return await change
    except NotSent as error:
        return Rejected(Fault(FaultClass.TRANSIENT, str(error), "NOT_SENT"))
    except NoAnswer as error:
        return Unknown(str(error))


C = TypeVar("C", bound=Rest)
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
            raise _unasked(self.refusals.cloud, error) from error
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

    @property
    def _state(self) -> Path:
        return Path(self._settings.state_dir)

    def _host_key(self, run: str, token: str) -> ssh_key_files.KeyPair:
        return ssh_key_files.key_in(ssh_key_files.host_folder(self._state, run, token))

    @abstractmethod
    async def describe(self, refs: Sequence[str]) -> dict[str, Observed]:
        """The state of these servers, as the port defines it."""

    async def access(self, refs: Sequence[str]) -> dict[str, SshAccess]:
        """With the run's key; a server whose own key is not known cannot be trusted and is left out."""
        seen = await self.describe([ref for ref in refs if not ref.startswith(self.beside)])
        return await asyncio.to_thread(
            lambda: {ref: way for ref, one in seen.items() if one.address and (way := self._way(one)) is not None}
        )

    def _way(self, server: Observed) -> SshAccess | None:
        if not server.token or not ssh_key_files.host_folder(self._state, server.run, server.token).exists():
            return None
        host, own = self._host_key(server.run, server.token), ssh_key_files.run_key(self._state, server.run)
        return SshAccess(server.address, self.user, key=str(own.path), host_keys=(host.public,))


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
            raise _unasked(self._api.refusals.cloud, error) from error

    async def burst(self, path: str) -> None:
        """Send many reads at once."""
        answers = await asyncio.gather(*(self._api.call("GET", path) for _ in range(BURST)))
        turned_away = sum(answer.status == 429 for answer in answers)
        waits = sorted({answer.retry_after for answer in answers if answer.retry_after is not None})
        self.found(THROTTLED, f"{turned_away} of {BURST}, Retry-After {waits or 'not given'}")

    def said(self, reply: HttpReply) -> str:
        """A reply in short: its status and error code."""
        return f"HTTP {reply.status}" + ("" if reply.ok else f" {self._api.refusals.code(reply)}")
