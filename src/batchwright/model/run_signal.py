"""What another process can ask of the one that drives a run."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class SignalKind(StrEnum):
    """What another process can ask of the one that drives the run."""

    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    FORCE_CANCEL = "force_cancel"


class Signal(Struct, frozen=True):
    """A request to a run, left in its store."""

    kind: SignalKind
    at: float
    by: str = ""
