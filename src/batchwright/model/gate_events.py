"""The events of gates and of questions to people."""

from __future__ import annotations

from batchwright.model.event import Event
from batchwright.model.fault import Fault


class GatePassed(Event, frozen=True, tag="gate_passed"):
    """The wave before this gate has ended, and the wave behind it begins."""

    step: str


class HoldAsked(Event, frozen=True, tag="hold_asked"):
    """People are asked whether the run goes on. `ask` counts how often this step asked.

    `hash` is the digest of what they are asked; `until` is when the question expires, in seconds since the epoch, 0 for
    never.
    """

    step: str
    ask: int
    hash: str
    until: float = 0.0


class HoldAnswered(Event, frozen=True, tag="hold_answered"):
    """Somebody answered. `principal` identifies them, `name` and `role` are for people and for the list of who may
    answer; `given_at` is when they did, and `signal` the number of the signal that brought it, 0 for none.
    """

    step: str
    ask: int
    yes: bool
    principal: str
    name: str = ""
    role: str = ""
    comment: str = ""
    signal: int = 0
    given_at: float = 0.0


class HoldGranted(Event, frozen=True, tag="hold_granted"):
    """Enough people agreed; the run goes on."""

    step: str
    ask: int


class HoldPassed(Event, frozen=True, tag="hold_passed"):
    """The question expired, and the run goes on as the file says for this case."""

    step: str
    ask: int


class HoldRefused(Event, frozen=True, tag="hold_refused"):
    """Somebody refused; what is behind the hold does not run."""

    step: str
    ask: int
    fault: Fault


class HoldExpired(Event, frozen=True, tag="hold_expired"):
    """The question expired without enough answers; what is behind the hold does not run."""

    step: str
    ask: int
    fault: Fault
