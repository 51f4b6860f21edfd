"""What carries one call to a place and its answer back, and the form in which it travels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec
from msgspec import Struct

PLACE_PATTERN = "[a-z0-9][a-z0-9-]{0,40}"
START_SECONDS = 10.0  # for a worker to take a call; nobody took it: it is dropped, and certainly not begun

REPORT = "report"  # the one call that every version answers
LOOK_ID = "look/"  # begins the id of a call that changes nothing


class PlaceCall(Struct, frozen=True, omit_defaults=True):
    """One call of a port. `target` is the provider that it is about; `limit` is how many seconds it may take there.

    `contract` and `version` are those of the caller, so that a worker of another version refuses it.
    """

    contract: str
    version: str
    port: str
    method: str
    target: str = ""
    arguments: msgspec.Raw = msgspec.Raw(b"\x80")
    limit: float = 60.0


class PlaceFault(Struct, frozen=True, omit_defaults=True):
    """What a port raised. `passing` and `retry_after` as in ProviderUnavailable and ProviderThrottled."""

    kind: str
    code: str
    message: str
    hint: str = ""
    passing: bool | None = None
    retry_after: float | None = None


class PlaceAnswer(Struct, frozen=True, omit_defaults=True):
    """The answer to one call: a value with the name of its type, or what the port raised.

    `output`: the last of its `told` lines.
    """

    kind: str = ""
    value: msgspec.Raw = msgspec.Raw(b"\xc0")
    fault: PlaceFault | None = None
    output: tuple[str, ...] = ()
    told: int = 0


class Carrier(Protocol):
    """Carries messages to places. A carrier never repeats a call by itself."""

    async def carry(
        self, place: str, call: str, message: bytes, limit: float, live: Callable[[bytes], None] | None = None
    ) -> bytes:
        """The answer of a worker at the place, which has `limit` seconds from when it takes the call.

        A call with the same id that is under way is not begun a second time: its answer is that one's. `live` is told
        of its output now and then. Raises PlaceUnreachable if it was certainly not begun, else PlaceAnswerLost: then it
        is over, unless the carrier or its cluster lost sight of it. Cancelling the caller cancels the call.
        """
        ...
