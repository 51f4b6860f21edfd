"""How a store keeps deliveries: a row for each webhook of each run, as JSON with a digest."""

from __future__ import annotations

import msgspec

from batchwright.errors import DeliveryMoved, StoreCorrupt
from batchwright.journal import hash_chain
from batchwright.model.delivery import Delivery

_decoder = msgspec.json.Decoder(Delivery)


def refuse_unseen(seen: Delivery | None, found: Delivery | None, row: Delivery) -> None:
    """Raise DeliveryMoved if the row that was found is not the one that was seen."""
    if found != seen:
        raise DeliveryMoved(f"another process is sending to {row.webhook} for run {row.run}")


def delivery_row(row: Delivery) -> tuple[bytes, bytes]:
    """The row to store: its body and its digest."""
    body = msgspec.json.encode(row)
    return body, _digest(row.run, row.webhook, body)


def delivery_of(run: str, webhook: str, body: bytes, digest: bytes) -> Delivery:
    """The delivery in a row. Raises StoreCorrupt."""
    if digest != _digest(run, webhook, body):
        raise StoreCorrupt(f"what the store keeps about the webhook {webhook} of run {run} is damaged")
    try:
        return _decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise StoreCorrupt(f"the row of the webhook {webhook} of run {run} cannot be read: {error}") from error


def _digest(run: str, webhook: str, body: bytes) -> bytes:
    return hash_chain.digest_of("delivery", f"{run}\n{webhook}", 0, body)
