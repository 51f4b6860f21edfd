"""What another process can ask the driver of a run to do."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from batchwright.model.approver import Principal


class SignalKind(StrEnum):
    """What another process can ask the driver of a run to do."""

    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    FORCE_CANCEL = "force_cancel"
    ANSWER = "answer"


class HoldAnswer(Struct, frozen=True):
    """What somebody answers to a question that a step asks: to which one, by its number and its digest."""

    step: str
    ask: int
    hash: str
    yes: bool
    who: Principal
    comment: str = ""


class Signal(Struct, frozen=True):
    """A request to the driver of a run, left in its store. `answer` is set for an ANSWER only."""

    kind: SignalKind
    at: float
    by: str = ""
    answer: HoldAnswer | None = None
