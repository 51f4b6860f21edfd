"""The event of a step whose server is created somewhere else than the file asks for first."""

from __future__ import annotations

from enum import StrEnum

from batchwright.model.event import Event
from batchwright.model.fault import Fault


class MoveReason(StrEnum):
    """Why a step moved to another of its places."""

    REFUSED = "refused"  # its create call was refused for certain
    LANE_STOPPED = "lane_stopped"  # nothing more can be created in its lane; nothing was sent
    AGAIN = "again"  # all of its places refused: from the first on, after a pause


class StepMoved(Event, frozen=True, tag="step_moved"):
    """The step's server is created at another of its places, with another token. Nothing was created before.

    `place` is 0 for what the file asks for, else the number of the alternative, counted from 1: `provider`, `plan` and
    `zone` say where that is. `fault` is why the place before does not take it.
    """

    step: str
    attempt: int
    place: int
    fault: Fault
    reason: MoveReason
    provider: str
    plan: str
    zone: str
