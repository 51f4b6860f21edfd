"""Who holds which run, and with it its environment: the leases of the runs that have not ended."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from batchwright.model.lifecycle import RunState


class LeaseState(StrEnum):
    """What one read of a lease shows. Nothing is decided by it."""

    HELD = "held"  # its process lives, or has given a sign of life lately
    DEAD = "dead"  # its process has ended, or has given no sign of life until `until`
    MOVED = "moved"  # no process holds it: the run is being moved, or was moved, to another store
    FREE = "free"  # nobody holds it


class LeaseLine(Struct, frozen=True):
    """The lease of a run that has not ended, or whose turn in its environment has not.

    `fence` grows with every holder; a write with an older one is refused. `until` is when the holder has to give the
    next sign of life, by its own clock. `turn` is the run's turn in its environment, which no other run may change
    meanwhile, 0 if it has none; `since` is when that began. `asks` are open questions: a run that only waits for people
    is held by nobody.
    """

    run: str
    environment: str
    simulated: bool
    store: str
    status: RunState
    state: LeaseState
    holder: str = ""
    fence: int = 0
    until: float = 0.0
    turn: int = 0
    since: float = 0.0
    asks: int = 0
