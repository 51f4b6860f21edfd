"""The HTTP front of an emulated cloud: authorization, rate limits, faults, and how the client sees them."""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from aiohttp import web
from msgspec import Struct

from batchwright.emulators.base_account import EmulatedAccount
from batchwright.fault_injection.draw import Draw, draw
from batchwright.fault_injection.fault_names import CALL_FAULTS, CREATE_FAULTS, READ_FAULTS, SERVER_FAULTS
from batchwright.fault_injection.rate_limit import RateLimit
from batchwright.model.fault import FaultClass

SUMMARY = "/_emulator"
CREATE = (*CREATE_FAULTS, *SERVER_FAULTS)
_BODY_MAX = 4 * 1024 * 1024
_PAGE = "<html><head><title>{0}</title></head><body><h1>{0}</h1></body></html>"
_TITLES = {502: "502 Bad Gateway", 503: "503 Service Unavailable"}


class CallRefused(Exception):
    """The cloud refuses the call."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status, self.code, self.message = status, code, message


class GatewayPage(Exception):
    """A gateway answers in the cloud's place, with HTML."""

    def __init__(self, status: int) -> None:
        super().__init__(_TITLES[status])
        self.status = status


class AnswerDropped(Exception):
    """The connection ends before an answer."""


class EmulatedCall(Struct, frozen=True):
    """One call, parsed from a request.

    `name` is used for counting, denying and failing it; `about` is the resource; `faults` are the faults that may
    happen to it; `asked` is what the cloud needs to carry it out; `server` is the name of a server that it creates.
    """

    name: str
    about: str
    faults: tuple[str, ...]
    asked: Any
    server: str = ""

    @property
    def changes(self) -> bool:
        """Whether it is more than a read."""
        return self.faults != READ_FAULTS


A = TypeVar("A", bound=EmulatedAccount[Any])


class EmulatorFront(ABC, Generic[A]):
    """One account behind one port. The class attributes are the cloud's refusals in each case."""

    credentials: ClassVar[Mapping[str, CallRefused]]  # by the value of `auth`
    denied: ClassVar[CallRefused]  # a permission is missing
    failed: ClassVar[CallRefused]  # an internal error of the cloud
    refusals: ClassVar[Mapping[FaultClass, CallRefused]]

    def __init__(self, account: A) -> None:
        self.account = account
        self._limits: dict[tuple[str, float, int], RateLimit] = {}

    @abstractmethod
    def app(self) -> web.Application:
        """The aiohttp application that serves this account."""

    @abstractmethod
    async def _read(self, request: web.Request) -> EmulatedCall:
        """The call in a request. Raises CallRefused."""

    @abstractmethod
    def _carry_out(self, call: EmulatedCall, drawn: Draw) -> Any:
        """Do it. Raises CallRefused."""

    @abstractmethod
    def _answer(self, call: EmulatedCall, result: Any) -> web.Response:
        """What `_carry_out` gave, in the cloud's shape."""

    @abstractmethod
    def _refused(self, request: web.Request, refusal: CallRefused) -> web.Response:
        """A refusal in the cloud's shape."""

    def _counted(self, _call: EmulatedCall) -> str | None:
        """The name of the rate limit that a call counts against; None for none."""
        return ""

    def _seconds(self, _call: EmulatedCall) -> float:
        """Until a call is answered."""
        return 0.0

    def _application(self) -> web.Application:
        app = web.Application(client_max_size=_BODY_MAX)
        app.router.add_get(SUMMARY, self._summary)
        return app

    async def _summary(self, _request: web.Request) -> web.Response:
        return web.json_response(self.account.summary())

    async def _respond(self, request: web.Request) -> web.Response:
        call = None
        try:
            call = await self._read(request)
            answer = self._answer(call, self.handle(call))
        except CallRefused as refusal:
            answer = self._refused(request, refusal.with_traceback(None))  # a shared one would gather tracebacks
            if refusal is self.refusals[FaultClass.THROTTLE] and self.account.behaviour.retry_after:
                answer.headers["Retry-After"] = str(self.account.behaviour.retry_after)
        except GatewayPage as page:
            answer = web.Response(status=page.status, text=_PAGE.format(page), content_type="text/html")
        except AnswerDropped:
            answer = None
        if call is not None:
            await asyncio.sleep(self._seconds(call))
        if answer is not None:
            return answer
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

    def handle(self, call: EmulatedCall) -> Any:
        """What the cloud answers. Raises CallRefused, GatewayPage, AnswerDropped."""
        self.account.happened[call.name] += 1
        try:
            return self._handle(call)
        except CallRefused as refusal:
            self.account.refused[refusal.code] += 1
            raise

    def _handle(self, call: EmulatedCall) -> Any:
        behaviour = self.account.behaviour
        if behaviour.auth:
            raise self.credentials[behaviour.auth]
        if not self._admitted(call):
            self.account.happened["rate"] += 1
            raise self.refusals[FaultClass.THROTTLE]
        if call.name in behaviour.denied.split(",") or (call.changes and behaviour.read_only):
            raise self.denied
        if call.name in behaviour.failing.split(","):
            raise GatewayPage(503)
        drawn = self._drawn(call)
        if not drawn.fault:
            return self._carry_out(call, drawn)
        self.account.happened[drawn.fault] += 1
        if drawn.acts:
            try:
                self._carry_out(call, drawn)
            except CallRefused as refusal:  # the client does not see it
                self.account.refused[refusal.code] += 1
        raise self._seen_as(drawn)

    def _admitted(self, call: EmulatedCall) -> bool:
        behaviour, name = self.account.behaviour, self._counted(call)
        if name is None or not behaviour.rate:
            return True
        key = name, behaviour.rate, behaviour.burst
        limit = self._limits.setdefault(key, RateLimit(behaviour.rate, behaviour.burst))
        return not limit.wait(self.account.clock())

    def _drawn(self, call: EmulatedCall) -> Draw:
        behaviour = self.account.behaviour
        seed, _ = self.account.attempt(f"{call.name}/{call.about}")
        scripted = ""
        if call.server and behaviour.fail:  # counted by name: a replacement may come with another token
            _, attempt = self.account.attempt(f"fail/{call.server}")
            scripted = behaviour.create_script().effect((call.server,), attempt)
        return draw(behaviour, call.faults, seed, scripted)

    def _seen_as(self, drawn: Draw) -> Exception:
        """What the client sees of a fault."""
        which = drawn.fraction("which")
        match drawn.fault:
            case "lost_answers" | "late_commits":
                return AnswerDropped()
            case "bad_gateway":
                return GatewayPage(502)
            case "read_errors" if which < 0.3:
                return AnswerDropped()
            case "read_errors" if which < 0.5:
                return GatewayPage(502)
            case "read_errors" if which < 0.7:
                return self.refusals[FaultClass.THROTTLE]
            case "read_errors" | "transient":
                return self.failed if which < 0.8 else self.refusals[FaultClass.TRANSIENT]
        return self.refusals[FaultClass(drawn.fault)]

    def _in_order(self, rows: Sequence[Any]) -> list[Any]:
        """As a listing shows them this time."""
        rows = list(rows)
        if self.account.behaviour.unordered:
            random.Random(self.account.attempt("order")[0]).shuffle(rows)
        return rows


class RestFront(EmulatorFront[A]):
    """A cloud with a REST API in JSON. Results are a status and a body; a body of None is empty."""

    prefix: ClassVar[str]  # the version of the API
    accepted: ClassVar[tuple[str, ...]]  # what may stand in the header Authorization
    servers: ClassVar[str]  # the path whose POST creates a server

    def app(self) -> web.Application:
        app = self._application()
        app.router.add_route("*", self.prefix + "/{path:.*}", self._respond)
        return app

    def _shape(self, path: str) -> str:
        """What calls are counted by: the path without ids."""
        return "/" + path.split("/")[1]

    @abstractmethod
    def _made(self, path: str, body: Any) -> str | None:
        """The name of what a POST creates; None if it creates nothing."""

    @abstractmethod
    def _route(self, request: web.Request, path: str, body: Any, drawn: Draw) -> tuple[int, Any]:
        """Carry out the call. Raises CallRefused."""

    async def _read(self, request: web.Request) -> EmulatedCall:
        path = request.path.removeprefix(self.prefix)
        name = f"{request.method} {self._shape(path)}"
        if request.headers.get("Authorization", "") not in self.accepted:
            self.account.happened[name] += 1
            raise self.credentials["wrong"]
        body = await request.json() if request.body_exists and request.can_read_body else {}
        asked = request, path, body
        if request.method == "GET":
            return EmulatedCall(name, path, READ_FAULTS, asked)
        made = self._made(path, body) if request.method == "POST" else None
        if made is None:
            return EmulatedCall(name, path, CALL_FAULTS, asked)
        return EmulatedCall(name, made, CREATE, asked, made if path == self.servers else "")

    def _carry_out(self, call: EmulatedCall, drawn: Draw) -> tuple[int, Any]:
        request, path, body = call.asked
        return self._route(request, path, body, drawn)

    def _answer(self, _call: EmulatedCall, result: Any) -> web.Response:
        status, body = result
        return web.Response(status=status) if body is None else web.json_response(body, status=status)
