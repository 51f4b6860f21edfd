"""The HTTP client that clouds with a REST API share: requests, and what their refusals mean."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar, TypeVar

from msgspec import Struct

from batchwright.errors import ProviderThrottled, ProviderUnavailable
from batchwright.model.call_outcome import Rejected, Unknown
from batchwright.model.fault import PASSING, Fault, FaultClass
from batchwright.providers.http import Http, HttpReply, NoAnswer, NotSent, Query

MESSAGE_MAX = 300  # characters of a cloud's message that are shown
PAGES_MAX = 1000  # of one listing
READINGS_MAX = 5  # of a listing that was not certainly complete

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


class RestClient(Http):
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
            raise unreachable(cloud, error) from error
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


def unreachable(cloud: str, error: Exception) -> ProviderUnavailable:
    """The error of a read that was not sent, or had no answer."""
    return ProviderUnavailable(f"{cloud} cannot be reached: {error}", hint="Try again in a moment.", passing=True)


async def meant(change: Awaitable[T]) -> T | Rejected | Unknown:
    """The outcome of a change, also if it was never sent or is unknown."""
    try:
        return await change
    except NotSent as error:
        return Rejected(Fault(FaultClass.TRANSIENT, str(error), "NOT_SENT"))
    except NoAnswer as error:
        return Unknown(str(error))
