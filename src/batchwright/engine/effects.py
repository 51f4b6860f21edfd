"""The closed set of things the machine may ask for, and of things that may be reported back to it."""

from __future__ import annotations

from msgspec import Struct

from batchwright.model.outcome import Applied, Created, Fault, Observed, Rejected, Unknown


class DoStep(Struct, frozen=True, gc=False):
    """Send the call of a step. `look_first`: an earlier call with this token is in doubt, so look for what it made."""

    step: int
    attempt: int
    look_first: bool = False


class Settle(Struct, frozen=True, gc=False):
    """Find out what became of a call in doubt."""

    step: int
    attempt: int


class Await(Struct, frozen=True, gc=False):
    """Watch a server until it is ready or `deadline` (seconds since the epoch) has passed."""

    step: int
    attempt: int
    ref: str
    deadline: float


class UndoStep(Struct, frozen=True, gc=False):
    """Undo a step."""

    step: int
    attempt: int


class Sweep(Struct, frozen=True, gc=False):
    """List all that carries the run's label in this lane, until it is certain that nothing more will appear."""

    lane: str
    round: int


class DestroyOrphan(Struct, frozen=True, gc=False):
    """Destroy one thing that the sweep found."""

    lane: str
    ref: str


CALLS = (DoStep, UndoStep)  # each needs a permit of its lane
Command = DoStep | Settle | Await | UndoStep | Sweep | DestroyOrphan


class Answered(Struct, frozen=True):
    """What the call of a step said."""

    step: int
    attempt: int
    outcome: Created | Applied | Rejected | Unknown


class Settled(Struct, frozen=True):
    """What the provider knows of a call in doubt; None: certainly nothing was made."""

    step: int
    attempt: int
    found: Observed | None = None
    fault: Fault | None = None  # the provider could not be asked, for longer than is bearable


class Looked(Struct, frozen=True):
    """A watched server is ready, broken or gone, or its deadline has passed (`fault`)."""

    step: int
    attempt: int
    ref: str
    address: str = ""
    fault: Fault | None = None


class Said(Struct, frozen=True):
    """Lines that a call has said so far; `undo` tells an undo's from those of the way forward."""

    step: int
    attempt: int
    lines: tuple[str, ...]
    undo: bool = False


class Undid(Struct, frozen=True):
    """The undo is done, or did not work this time."""

    step: int
    attempt: int
    fault: Fault | None = None


class Swept(Struct, frozen=True):
    """What a sweep found beside what the journal knows: (ref, name) each; or why it could not look.

    `shared` are no orphans: a group or a key that servers of the run had in common, and now need no more.
    """

    lane: str
    round: int
    strays: tuple[tuple[str, str], ...] = ()
    fault: Fault | None = None
    shared: frozenset[str] = frozenset()


class OrphanDestroyed(Struct, frozen=True):
    """A stray is gone, or could not be removed."""

    lane: str
    ref: str
    fault: Fault | None = None


Report = Answered | Settled | Looked | Said | Undid | Swept | OrphanDestroyed
