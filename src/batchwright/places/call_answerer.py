"""The worker's side of a place: a message comes, the port is called if that is allowed, its answer goes back."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import msgspec

from batchwright import __version__
from batchwright.commands.base import Launcher
from batchwright.errors import (
    BatchwrightError,
    PlaceDiffers,
    PlaceRefused,
    PlaceUnreachable,
    ProviderThrottled,
    ProviderUnavailable,
)
from batchwright.model.call_outcome import Observed
from batchwright.model.update_behavior import FieldWay
from batchwright.operations.server_batch import ServerRequest
from batchwright.places import codec
from batchwright.places.call_output import CallOutput
from batchwright.places.carrier import REPORT, PlaceAnswer, PlaceCall, PlaceFault
from batchwright.providers.base import ChangesServers, Provider, ShowsAttached, ways_of
from batchwright.taskservs.base import Runner

LIMIT_MAX = 24 * 3600.0

Tell = Callable[[str], None]
Hold = Callable[[], Awaitable[None]]


async def _held() -> None:
    """Nobody else can have been given the call."""


class AnsweredPorts(Protocol):
    """The real ports at a place, and what its allow-list says."""

    async def report(self) -> codec.PlaceReport:
        """What the worker says about itself."""
        ...

    def allowed(self, call: PlaceCall, given: dict[str, Any]) -> dict[str, Any]:
        """The arguments as they are used here. Raises PlaceRefused."""
        ...

    async def provider(self, name: str) -> Provider:
        """A provider, open. Raises ProviderUnavailable."""
        ...

    def runner(self, provider: str) -> Runner:
        """What installs on servers of a provider."""
        ...

    def launcher(self, provider: str) -> Launcher:
        """What runs programs on servers of a provider, or with "" on the worker's machine."""
        ...


class CallAnswerer:
    """Answers one message at a time, any number at once. It remembers nothing: each call stands for itself."""

    def __init__(self, ports: AnsweredPorts, redact: Callable[[str], str] = str) -> None:
        self._ports, self._redact = ports, redact

    async def answer(self, message: bytes, output: CallOutput | None = None, hold: Hold = _held) -> bytes:
        """The answer to a message. If it is cancelled, so is the call of the port.

        `hold` comes before a call that changes something; it raises PlaceUnreachable if that may not be done any more.
        """
        output = output or CallOutput()
        try:
            call = codec.read(message, PlaceCall)
            kind, value = await self._answer(call, output.hear, hold)
            said = PlaceAnswer(kind, value)
        except Exception as error:
            said = PlaceAnswer(fault=self._fault(error))
        try:
            return codec.pack(msgspec.structs.replace(said, output=output.lines, told=output.told))
        except codec.Unfit as error:
            return codec.pack(PlaceAnswer(fault=self._fault(error)))

    async def _answer(self, call: PlaceCall, tell: Tell, hold: Hold) -> tuple[str, msgspec.Raw]:
        if call.method == REPORT:
            return REPORT, msgspec.Raw(msgspec.msgpack.encode(await self._ports.report()))
        if call.contract != codec.contract():
            raise PlaceDiffers(
                f"the worker is Batchwright {__version__}, whose calls differ from those of {call.version}"
            )
        try:
            given = codec.given_arguments(call.port, call.method, call.arguments, tell)
        except codec.Unfit as error:
            raise PlaceRefused(str(error)) from error
        if not 0 <= call.limit < math.inf:  # no number at all would also put the timers of the event loop out of order
            raise PlaceRefused(f"a call cannot take {call.limit} seconds")
        given = self._ports.allowed(call, given)
        if codec.changes(call.port, call.method):
            await hold()
        async with asyncio.timeout(min(call.limit, LIMIT_MAX)):
            answer = await self._made(call, given)
        return codec.answer(call.port, call.method, answer)

    async def _made(self, call: PlaceCall, given: Mapping[str, Any]) -> object:
        """Call the port."""
        port: object
        match call.port:
            case codec.PROVIDER:
                port = provider = await self._ports.provider(call.target)
                match call.method:
                    case "traits":
                        changes, shows = isinstance(provider, ChangesServers), isinstance(provider, ShowsAttached)
                        return codec.ProviderTraits(provider.capabilities, changes, shows)
                    case "ways_of_each":
                        return _ways(provider, given["pairs"])
                    case "attached" if not isinstance(provider, ShowsAttached):
                        return []
                    case "change" if not isinstance(provider, ChangesServers):
                        raise PlaceRefused(f"the provider {provider.name} cannot change servers in place")
            case codec.RUNNER:
                port = self._ports.runner(call.target)
            case _:
                port = self._ports.launcher(call.target)
        return await getattr(port, call.method)(*given.values())  # by position, as adapters name them as they like

    def _fault(self, error: Exception) -> PlaceFault:
        """What is told of an error; of one that is not ours, its text without secrets."""
        kind = type(error).__name__
        if isinstance(error, TimeoutError):
            return PlaceFault("TimeoutError", "", "no answer within the time of the call")
        if not isinstance(error, BatchwrightError):
            return PlaceFault(kind, "", self._redact(str(error)))
        for known in (PlaceDiffers, PlaceRefused, PlaceUnreachable, ProviderThrottled, ProviderUnavailable):
            if isinstance(error, known):
                kind = known.__name__
                break
        return PlaceFault(
            kind,
            error.code,
            error.message,
            error.hint,
            error.passing if isinstance(error, ProviderUnavailable) else None,
            error.retry_after if isinstance(error, ProviderThrottled) else None,
        )


def _ways(provider: Provider, pairs: tuple[tuple[Observed, ServerRequest], ...]) -> tuple[Mapping[str, FieldWay], ...]:
    return tuple(ways_of(provider, observed, request) for observed, request in pairs)
