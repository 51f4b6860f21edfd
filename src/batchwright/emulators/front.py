"""The HTTP front of an emulated REST cloud: who may ask and how often, what goes wrong, and what is told of it."""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Generic, TypeVar

from aiohttp import web

from batchwright.emulators.fates import CallRefused, Draws, Fate, dropped, fate_of, page
from batchwright.emulators.faults import ServiceFaults
from batchwright.model.ids import fraction

SUMMARY = "/_emulator"
Result = tuple[int, Any]  # status and body, None for none

D = TypeVar("D", bound=Draws)


class RestFront(ABC, Generic[D]):
    """One account behind one port. The class's refusals are what the cloud says of each trouble."""

    prefix: ClassVar[str]  # the version of the API
    accepted: ClassVar[tuple[str, ...]]  # what may stand in the header Authorization
    unauthorized: ClassVar[CallRefused]
    read_only: ClassVar[CallRefused]
    throttled: ClassVar[CallRefused]
    failed: ClassVar[CallRefused]
    unavailable: ClassVar[CallRefused]

    def __init__(self, emulation: ServiceFaults, estate: D) -> None:
        self.emulation, self.estate = emulation, estate
        self._tokens, self._refilled = float(emulation.burst), estate.clock()

    def app(self) -> web.Application:
        """For an aiohttp server."""
        app = web.Application(client_max_size=4 * 1024 * 1024)
        app.router.add_get(SUMMARY, self._summary)
        app.router.add_route("*", self.prefix + "/{path:.*}", self._call)
        return app

    @abstractmethod
    def _route(self, request: web.Request, path: str, body: Any, fate: Fate) -> Result:
        """Do it. Raises CallRefused."""

    @abstractmethod
    def _made(self, path: str, body: Any) -> str | None:
        """The name of what a POST makes; None where it makes nothing."""

    @abstractmethod
    def _refused(self, refusal: CallRefused) -> web.Response:
        """A refusal in the cloud's shape."""

    def _shape(self, path: str) -> str:
        """What calls are counted by: the path without ids."""
        return "/" + path.split("/")[1]

    def _in_order(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """As a listing shows them this time."""
        if self.emulation.unordered:
            random.Random(self.estate.draw("order", "")).shuffle(rows)
        return rows

    def _seconds(self, _seed: str) -> float:
        """Until a call is answered."""
        return 0.0

    async def _summary(self, _request: web.Request) -> web.Response:
        return web.json_response(self.estate.summary())

    async def _call(self, request: web.Request) -> web.Response:
        e, path = self.emulation, request.path.removeprefix(self.prefix)
        self.estate.happened[f"{request.method} {self._shape(path)}"] += 1
        if request.headers.get("Authorization", "") not in self.accepted or e.expired:
            return self._refused(self.unauthorized)
        if not self._admitted():
            self.estate.happened["rate"] += 1
            return self._throttled()
        call = f"{request.method} {self._shape(path)}"
        if call in e.denied.split(",") or (request.method != "GET" and e.read_only):
            return self._refused(self.read_only)
        if call in e.failing.split(","):
            return page()
        body = await request.json() if request.body_exists and request.can_read_body else {}
        name = self._made(path, body) if request.method == "POST" else None
        fate = fate_of(self.estate, e, request.method, path, name)
        answer = self._carried_out(request, path, body, fate) if not fate.kind or fate.acts else None
        await asyncio.sleep(self._seconds(fate.seed))
        return answer if answer is not None and not fate.kind else self._told(request, fate)

    def _admitted(self) -> bool:
        """The token bucket of the whole account."""
        e, now = self.emulation, self.estate.clock()
        if not e.rate:
            return True
        self._tokens = min(float(e.burst), self._tokens + (now - self._refilled) * e.rate)
        self._refilled = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _carried_out(self, request: web.Request, path: str, body: Any, fate: Fate) -> web.Response:
        try:
            status, answer = self._route(request, path, body, fate)
        except CallRefused as refusal:
            return self._refused(refusal)
        return web.Response(status=status) if answer is None else web.json_response(answer, status=status)

    def _told(self, request: web.Request, fate: Fate) -> web.Response:
        """What the client gets to see of what goes wrong."""
        which = fraction(f"{fate.seed}/which")
        match fate.kind:
            case "throttle":
                return self._throttled()
            case "lost_answers" | "late_commits":
                return dropped(request)
            case "html502":
                return page()
            case "read_errors" if which < 0.3:
                return dropped(request)
            case "read_errors" if which < 0.5:
                return page()
            case "read_errors" if which < 0.7:
                return self._throttled()
        return self._failed() if which < 0.8 else self._refused(self.unavailable)

    def _throttled(self) -> web.Response:
        answer = self._refused(self.throttled)
        if self.emulation.retry_after:
            answer.headers["Retry-After"] = str(self.emulation.retry_after)
        return answer

    def _failed(self) -> web.Response:
        return self._refused(self.failed)
