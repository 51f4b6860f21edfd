"""What the performer reports back to the machine: a closed set."""

from __future__ import annotations

from msgspec import Struct

from batchwright.model.outcome import Applied, Created, Fault, Observed, Rejected, Unknown


class CallReport(Struct, frozen=True):
    """What the call of a step said."""

    step: int
    attempt: int
    outcome: Created | Applied | Rejected | Unknown


class SettleReport(Struct, frozen=True):
    """What the provider knows of a call in doubt; None: certainly nothing was made."""

    step: int
    attempt: int
    found: Observed | None = None
    fault: Fault | None = None  # the provider could not be queried, for longer than is bearable


class ServerReport(Struct, frozen=True):
    """A watched server is ready, broken or gone, or its deadline has passed (`fault`)."""

    step: int
    attempt: int
    ref: str
    address: str = ""
    fault: Fault | None = None


class OutputReport(Struct, frozen=True):
    """Lines that a call has said so far; `undo` tells an undo's from those of the way forward."""

    step: int
    attempt: int
    lines: tuple[str, ...]
    undo: bool = False


class UndoReport(Struct, frozen=True):
    """The undo is done, or did not work this time."""

    step: int
    attempt: int
    fault: Fault | None = None


class SweepReport(Struct, frozen=True):
    """What a sweep found beside what the journal knows: (ref, name) each; or why it could not look.

    `shared` are no orphans: a group or a key that servers of the run had in common, and now need no more.
    """

    lane: str
    round: int
    strays: tuple[tuple[str, str], ...] = ()
    fault: Fault | None = None
    shared: frozenset[str] = frozenset()


class OrphanReport(Struct, frozen=True):
    """An orphan is gone, or could not be removed."""

    lane: str
    ref: str
    fault: Fault | None = None


Report = CallReport | SettleReport | ServerReport | OutputReport | UndoReport | SweepReport | OrphanReport
