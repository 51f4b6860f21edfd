"""Events to bytes and back. An event written by an older version is raised to the current shape before it is decoded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from batchwright.errors import EventUnreadable
from batchwright.model.events import AnyEvent

VERSION = 1

# (type, version it was written in) -> the change that raises its plain dict by one version
Upcaster = Callable[[dict[str, Any]], dict[str, Any]]
UPCASTERS: dict[tuple[str, int], Upcaster] = {}

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(AnyEvent)
_plain = msgspec.json.Decoder(dict[str, Any])

encode = _encoder.encode


def decode(body: bytes, version: int = VERSION) -> AnyEvent:
    """The event in `body`, written by `version`. Raises EventUnreadable."""
    if version > VERSION:
        raise EventUnreadable(
            f"the journal holds an event of version {version}; this Batchwright knows up to {VERSION}",
            hint="Install a newer Batchwright.",
        )
    try:
        if version == VERSION:
            return _decoder.decode(body)
        raw = _plain.decode(body)
        for step in range(version, VERSION):
            raise_by_one = UPCASTERS.get((str(raw.get("type")), step))
            raw = raise_by_one(raw) if raise_by_one else raw
        return msgspec.convert(raw, AnyEvent)
    except msgspec.MsgspecError as error:
        raise EventUnreadable(f"a journal entry is damaged: {error}", hint="Restore the store from a backup.") from error
