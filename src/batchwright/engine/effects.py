"""Effects: the closed set of calls that the machine may ask the performer for. `reports` has the answers."""

from __future__ import annotations

from msgspec import Struct


class DoStep(Struct, frozen=True, gc=False):
    """Send the call of a step. `look_first`: an earlier call with this token is in doubt, so look for what it made."""

    step: int
    attempt: int
    look_first: bool = False


class Settle(Struct, frozen=True, gc=False):
    """Find out whether a call in doubt took effect."""

    step: int
    attempt: int


class ClearLook(Struct, frozen=True, gc=False):
    """What must be seen before a new server is used: no other run's server of this name, in a complete listing that
    begins `visible_seconds` or more after its reference is known. `patience`: seconds for which it waits for twins.
    """

    name: str
    token: str
    visible_seconds: float
    patience: float


class Await(Struct, frozen=True, gc=False):
    """Watch a server until it is ready, and clear if `clear_look` is set, or `deadline` (seconds since the epoch) has
    passed.
    """

    step: int
    attempt: int
    ref: str
    deadline: float
    clear_look: ClearLook | None = None


class UndoStep(Struct, frozen=True, gc=False):
    """Undo what a step created or did."""

    step: int
    attempt: int


class Sweep(Struct, frozen=True, gc=False):
    """List everything that carries the run's label in this lane, until it is certain that nothing more will appear."""

    lane: str
    round: int


class DestroyOrphan(Struct, frozen=True, gc=False):
    """Destroy one thing that the sweep found."""

    lane: str
    ref: str


CALLS = (DoStep, UndoStep)  # each needs a permit of its lane
Command = DoStep | Settle | Await | UndoStep | Sweep | DestroyOrphan
