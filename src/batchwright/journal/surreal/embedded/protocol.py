"""The messages between the process that holds the folder and its peers, and their framing."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from batchwright import errors
from batchwright.errors import StoreError, StoreUnavailable
from batchwright.model.environment import EnvironmentKey
from batchwright.model.run_signal import Signal

WIRE = 7  # raised when a message changes its meaning; holder and peer must agree
FRAME = 1024 * 1024
MAX_REQUEST = 64 * 1024
MAX_REPLY = 512 * 1024 * 1024  # the plan of a very large run is one event

T = TypeVar("T")


class TooLarge(Exception):
    """A message that exceeds the limits; the rest of the stream cannot be read."""


class PagesRequest(Struct, frozen=True, tag="pages"):
    """Pages of a run that hold up to `limit` events after a sequence number, or fewer."""

    run: str
    after: int
    limit: int


class SummariesRequest(Struct, frozen=True, tag="summaries"):
    """Ask for the summaries of all runs."""


class NewestRunsRequest(Struct, frozen=True, tag="newest_runs"):
    """Ask for the summaries of the newest run of each environment, and of runs without a turn."""


class SummaryRequest(Struct, frozen=True, tag="summary"):
    """Ask for the summary of one run."""

    run: str


class HeadRequest(Struct, frozen=True, tag="head"):
    """Ask for the number of a run's last event and the digest of all."""

    run: str


class RunIdsRequest(Struct, frozen=True, tag="runs"):
    """The ids of all runs."""


class LossesRequest(Struct, frozen=True, tag="losses"):
    """All runs compared with the mark."""


class SnapshotRequest(Struct, frozen=True, tag="snapshot"):
    """The newest snapshot of a run."""

    run: str


class EnvironmentRequest(Struct, frozen=True, tag="environment"):
    """Whose turn it is in an environment."""

    key: EnvironmentKey


class EnvironmentsRequest(Struct, frozen=True, tag="environments"):
    """Of all environments."""


class ResourcesRequest(Struct, frozen=True, tag="resources"):
    """What an environment has."""

    key: EnvironmentKey


class AllResourcesRequest(Struct, frozen=True, tag="all_resources"):
    """What all environments have."""


class DeliveriesRequest(Struct, frozen=True, tag="deliveries"):
    """What webhooks have had of a run, or of all."""

    run: str


class PendingDeliveriesRequest(Struct, frozen=True, tag="pending_deliveries"):
    """Those of which more is to be sent."""


class BaseResourcesRequest(Struct, frozen=True, tag="base_resources"):
    """What an environment had at its base."""

    key: EnvironmentKey


class LeaseRequest(Struct, frozen=True, tag="held"):
    """The lease of a run."""

    run: str


class SignalRequest(Struct, frozen=True, tag="signal"):
    """A request for a run's driver."""

    run: str
    signal: Signal


class SignalsRequest(Struct, frozen=True, tag="signals"):
    """Ask for a run's signals with a number above `after`."""

    run: str
    after: int


class HandOverRequest(Struct, frozen=True, tag="hand_over"):
    """Ask for the folder, in order to write. The answer is True if the holder drives no run and releases it."""


WireRequest = (
    PagesRequest
    | HeadRequest
    | RunIdsRequest
    | LossesRequest
    | SummariesRequest
    | NewestRunsRequest
    | SummaryRequest
    | SnapshotRequest
    | EnvironmentRequest
    | EnvironmentsRequest
    | ResourcesRequest
    | AllResourcesRequest
    | DeliveriesRequest
    | PendingDeliveriesRequest
    | BaseResourcesRequest
    | LeaseRequest
    | SignalRequest
    | SignalsRequest
    | HandOverRequest
)


class WireRefusal(Struct, frozen=True):
    """A StoreError of the holder."""

    code: str
    message: str
    hint: str


class WireReply(Struct, frozen=True):
    """A result, or why there is none."""

    result: msgspec.Raw = msgspec.Raw(b"\xc0")  # nil
    refusal: WireRefusal | None = None


_encoder = msgspec.msgpack.Encoder()
_request: msgspec.msgpack.Decoder[WireRequest] = msgspec.msgpack.Decoder(WireRequest)
_reply = msgspec.msgpack.Decoder(WireReply)


async def send_request(writer: asyncio.StreamWriter, request: WireRequest) -> None:
    """One message to the holder."""
    await _send(writer, _encoder.encode(request))


async def receive_request(reader: asyncio.StreamReader) -> WireRequest:
    """One message of a peer."""
    return _request.decode(await _receive(reader, MAX_REQUEST))


async def send_result(writer: asyncio.StreamWriter, result: Any) -> None:
    """The answer to a request."""
    await _send(writer, _encoder.encode(WireReply(msgspec.Raw(_encoder.encode(result)))))


async def send_refusal(writer: asyncio.StreamWriter, error: StoreError) -> None:
    """The error that is the answer to a request."""
    await _send(writer, _encoder.encode(WireReply(refusal=WireRefusal(error.code, error.message, error.hint))))


async def receive_reply(reader: asyncio.StreamReader, kind: Any) -> Any:
    """The holder's answer as a `kind`, or its error raised here."""
    reply = _reply.decode(await _receive(reader, MAX_REPLY))
    if reply.refusal is not None:
        told = _BY_CODE.get(reply.refusal.code, StoreUnavailable)
        raise told(reply.refusal.message, hint=reply.refusal.hint)
    return msgspec.msgpack.decode(reply.result, type=kind)


async def _send(writer: asyncio.StreamWriter, body: bytes) -> None:
    """Frames of a length and so many bytes; a frame of length 0 ends the message."""
    for start in range(0, len(body), FRAME):
        frame = body[start : start + FRAME]
        writer.write(len(frame).to_bytes(4, "big"))
        writer.write(frame)
        await writer.drain()
    writer.write(bytes(4))
    await writer.drain()


async def _receive(reader: asyncio.StreamReader, limit: int) -> bytes:
    body = bytearray()
    while length := int.from_bytes(await reader.readexactly(4), "big"):
        if length > FRAME or len(body) + length > limit:
            raise TooLarge(f"a message between two processes is larger than {limit:,} bytes")
        body += await reader.readexactly(length)
    return bytes(body)


def _store_errors(base: type[StoreError]) -> dict[str, type[StoreError]]:
    found = {base.code: base}
    for narrower in base.__subclasses__():
        found |= _store_errors(narrower)
    return found


_BY_CODE = _store_errors(errors.StoreError)
