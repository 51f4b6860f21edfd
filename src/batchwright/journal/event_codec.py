"""Events to bytes and back. What an older version wrote is raised to the current shape first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import msgspec

from batchwright.errors import EventUnreadable
from batchwright.model.events import AnyEvent
from batchwright.operations.registry import dec_hook

VERSION = 3  # 2: a request has a typed `access`; 3: gates, questions, and steps that are not wanted


def _with_typed_access(created: dict[str, Any]) -> dict[str, Any]:
    """Version 1 had it as JSON in a text of `resolved`, beside facts that only planning needed."""
    for step in created["plan"]["steps"]:
        request = step["request"]
        if "access" in request.get("resolved", {}):
            request["access"] = msgspec.json.decode(request.pop("resolved")["access"])
    return created


# (type, version it was written in) -> the change that raises its plain dict by one version
Upcaster = Callable[[dict[str, Any]], dict[str, Any]]
UPCASTERS: dict[tuple[str, int], Upcaster] = {("run_created", 1): _with_typed_access}

_CURRENT_SINCE = 1 + max(version for _, version in UPCASTERS)  # what is written since then needs no upcaster

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(AnyEvent, dec_hook=dec_hook)
_page_decoder = msgspec.json.Decoder(list[AnyEvent], dec_hook=dec_hook)
_plain = msgspec.json.Decoder(dict[str, Any])
_plain_page = msgspec.json.Decoder(list[dict[str, Any]])

encode = _encoder.encode


def decode(body: bytes, version: int = VERSION) -> AnyEvent:
    """The event in `body`, written by `version`. Raises EventUnreadable."""
    _refuse_unknown(version)
    try:
        if version >= _CURRENT_SINCE:
            return cast(AnyEvent, _decoder.decode(body))
        return cast(AnyEvent, msgspec.convert(_raised(_plain.decode(body), version), AnyEvent, dec_hook=dec_hook))
    except _DAMAGE as error:
        raise _damaged(error) from error


def encode_page(events: Sequence[AnyEvent]) -> bytes:
    """Several events as one body, half as large as single ones."""
    return _encoder.encode(events)


def decode_page(body: bytes, version: int = VERSION) -> list[AnyEvent]:
    """The events of `encode_page`, written by `version`. Raises EventUnreadable."""
    _refuse_unknown(version)
    try:
        if version >= _CURRENT_SINCE:
            return _page_decoder.decode(body)
        raised = [_raised(raw, version) for raw in _plain_page.decode(body)]
        return msgspec.convert(raised, list[AnyEvent], dec_hook=dec_hook)
    except _DAMAGE as error:
        raise _damaged(error) from error


# an upcaster that meets a field it does not expect fails with one of the last three
_DAMAGE = (msgspec.MsgspecError, LookupError, TypeError, ValueError)


def _raised(raw: dict[str, Any], version: int) -> dict[str, Any]:
    for step in range(version, VERSION):
        raise_by_one = UPCASTERS.get((str(raw.get("type")), step))
        raw = raise_by_one(raw) if raise_by_one else raw
    return raw


def _refuse_unknown(version: int) -> None:
    if version > VERSION:
        raise EventUnreadable(
            f"the journal holds an event of version {version}; this Batchwright knows up to {VERSION}",
            hint="Install a newer Batchwright.",
        )
    if version < 1:
        raise EventUnreadable(
            f"the journal holds an event of the invalid version {version}",
            hint="Restore the store from a backup.",
        )


def _damaged(error: Exception) -> EventUnreadable:
    return EventUnreadable(f"a journal entry is damaged: {error}", hint="Restore the store from a backup.")
