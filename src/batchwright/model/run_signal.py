"""What another process can ask the driver of a run to do."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class SignalKind(StrEnum):
    """What another process can ask the driver of a run to do."""

    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    FORCE_CANCEL = "force_cancel"


class Signal(Struct, frozen=True):
    """A request to the driver of a run, left in its store."""

    kind: SignalKind
    at: float
    by: str = ""
