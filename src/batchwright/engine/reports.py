"""What the performer reports back to the machine: a closed set."""

from __future__ import annotations

from msgspec import Struct

from batchwright.model.call_outcome import Applied, Created, Observed, Rejected, Unknown
from batchwright.model.fault import Fault


class CallReport(Struct, frozen=True, gc=False):
    """The answer to the call of a step."""

    step: int
    attempt: int
    outcome: Created | Applied | Rejected | Unknown


class SettleReport(Struct, frozen=True, gc=False):
    """What the provider knows about a call in doubt; None: it certainly created nothing."""

    step: int
    attempt: int
    found: Observed | None = None
    fault: Fault | None = None  # the provider could not be queried, for longer than is bearable


class ServerReport(Struct, frozen=True, gc=False):
    """A watched server is ready, broken or gone, or its deadline has passed (`fault`). `clear`: a look showed that no
    other run created one of its name.
    """

    step: int
    attempt: int
    ref: str
    address: str = ""
    fault: Fault | None = None
    clear: bool = False
    host_keys: tuple[str, ...] = ()


class TwinReport(Struct, frozen=True, gc=False):
    """A complete look at a time when it counts showed other runs' servers of the name of a watched one.

    `contested`: seconds since that was first seen.
    """

    step: int
    attempt: int
    ref: str
    twins: tuple[Observed, ...]
    contested: float


class OutputReport(Struct, frozen=True, gc=False):
    """Output lines of a call in progress; `undo`: the call is an undo."""

    step: int
    attempt: int
    lines: tuple[str, ...]
    undo: bool = False


class UndoReport(Struct, frozen=True, gc=False):
    """The undo succeeded, or failed this time. `gone`: there was nothing to undo, since its server no longer exists.

    `address` is that of a server that was changed back.
    """

    step: int
    attempt: int
    fault: Fault | None = None
    gone: bool = False
    address: str = ""


class SweepReport(Struct, frozen=True, gc=False):
    """The orphans that a sweep found, (ref, name) each, or why it could not list.

    `shared` are not orphans: a group or a key that the run's servers shared, and that none needs any more.
    """

    lane: str
    round: int
    strays: tuple[tuple[str, str], ...] = ()
    fault: Fault | None = None
    shared: frozenset[str] = frozenset()


class OrphanReport(Struct, frozen=True, gc=False):
    """An orphan is gone, or could not be removed."""

    lane: str
    ref: str
    fault: Fault | None = None


Report = CallReport | SettleReport | ServerReport | TwinReport | OutputReport | UndoReport | SweepReport | OrphanReport
