"""One place as the port adapters see it: a call goes out as a message and comes back as the port's own value."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import msgspec

from batchwright import __version__, errors
from batchwright.errors import (
    BatchwrightError,
    PlaceAnswerLost,
    PlaceDiffers,
    PlaceRefused,
    PlaceUnreachable,
    ProviderThrottled,
    ProviderUnavailable,
)
from batchwright.model.call_outcome import Rejected
from batchwright.model.fault import Fault, FaultClass
from batchwright.places import codec
from batchwright.places.call_output import OutputReader, OutputSoFar
from batchwright.places.carrier import LOOK_ID, REPORT, Carrier, PlaceAnswer, PlaceCall, PlaceFault
from batchwright.printable import printable, shortened

TEXT_MAX = 2_000  # characters of a message from a place
LOOK_SECONDS = 60.0  # for a look that says nothing else
REPORT_SECONDS = 10.0

_NOTHING = msgspec.Raw(b"\x80")


class PlaceLink:
    """Calls at one place. Looks get an id of their own, so that each is a fresh one.

    A call that changes something has an id that every process computes alike from what it is about: while one is under
    way, the same call again is not begun twice.
    """

    def __init__(self, place: str, carrier: Carrier) -> None:
        self.place, self._carrier = place, carrier

    async def ask(
        self,
        port: str,
        method: str,
        provider: str,
        given: Mapping[str, object],
        *,
        limit: float = LOOK_SECONDS,
        about: str = "",
        tell: Callable[[str], None] | None = None,
    ) -> Any:
        """The answer of a port at the place. `about` names the step of a call that changes something. `tell`
        is told each line of its output, while it goes on.

        Raises PlaceUnreachable and PlaceRefused if it was not carried out, PlaceAnswerLost if it may have been, and
        what the port itself raises.
        """
        try:
            sent = codec.arguments(port, method, given)
            message = codec.pack(PlaceCall(codec.contract(), __version__, port, method, provider, sent, limit))
        except codec.Unfit as error:
            raise PlaceRefused(f"not sent to {self.place}: {error}", hint="Ask for less at once.") from error
        output = None if tell is None else OutputReader(tell)

        def live(data: bytes) -> None:
            with suppress(codec.Unfit):  # the answer brings it again
                seen = codec.read(data, OutputSoFar)
                assert output is not None
                output.read(seen.told, seen.lines)

        heard = None if output is None else live
        answer = self._read(await self._carrier.carry(self.place, _id(about, method, sent), message, limit, heard))
        if output is not None:
            output.read(answer.told, answer.output)
        if answer.fault is not None:
            raise _error(self.place, answer.fault)
        try:
            return codec.given_answer(port, method, answer.kind, answer.value)
        except codec.Unfit as error:
            raise PlaceAnswerLost(f"the answer of {self.place} to {port}.{method} is not one: {error}") from error

    async def report(self) -> codec.PlaceReport:
        """What a worker at the place says about itself. Raises PlaceUnreachable, PlaceAnswerLost, PlaceDiffers."""
        message = codec.pack(PlaceCall(codec.contract(), __version__, "place", REPORT))
        said = self._read(await self._carrier.carry(self.place, _id("", REPORT, _NOTHING), message, REPORT_SECONDS))
        if said.fault is not None:
            raise _error(self.place, said.fault)
        try:
            report = codec.decoded(said.value, codec.PlaceReport)
        except codec.Unfit as error:
            raise PlaceDiffers(f"the worker at {self.place} says nothing that this version reads: {error}") from error
        if report.contract != codec.contract():
            raise PlaceDiffers(
                f"the worker at {self.place} is Batchwright {_clean(report.version)}, whose calls differ from those of "
                f"{__version__} here"
            )
        return report

    def _read(self, data: bytes) -> PlaceAnswer:
        try:
            return codec.read(data, PlaceAnswer)
        except codec.Unfit as error:
            raise PlaceAnswerLost(f"the answer of {self.place} is not one: {error}") from error


def _id(about: str, method: str, sent: msgspec.Raw) -> str:
    if not about:
        return f"{LOOK_ID}{method}/{os.urandom(10).hex()}"
    return f"{about}/{method}/{hashlib.sha256(bytes(sent)).hexdigest()[:12]}"


def _error(place: str, fault: PlaceFault) -> BatchwrightError:
    """What was raised there, with where."""
    message, hint = _clean(fault.message), _clean(fault.hint)
    said = f"at {place}: {message}"
    match fault.kind:
        case "PlaceRefused":
            return PlaceRefused(said)
        case "PlaceDiffers":
            return PlaceDiffers(said)
        case "PlaceUnreachable":
            return PlaceUnreachable(said)
        case "ProviderThrottled":
            return ProviderThrottled(said, retry_after=fault.retry_after, hint=hint)
        case "ProviderUnavailable":
            return ProviderUnavailable(said, hint=hint, passing=fault.passing)
    known = getattr(errors, fault.kind, None)
    plain = (
        isinstance(known, type) and issubclass(known, BatchwrightError) and known.__init__ is BatchwrightError.__init__
    )
    if plain and known is not None:
        error: BatchwrightError = known(said, hint=hint)
        return error
    return PlaceAnswerLost(f"at {place}: {_clean(fault.kind)}: {message}", hint=hint)


def _clean(text: str) -> str:
    return shortened(printable(text), TEXT_MAX)


def refusal(error: PlaceUnreachable | PlaceRefused) -> Rejected:
    """The refusal of a call that was certainly not carried out."""
    kind = FaultClass.TRANSIENT if isinstance(error, PlaceUnreachable) else FaultClass.PERMANENT
    return Rejected(Fault(kind, error.message, error.code, error.hint))
