"""The events of closing sweeps, and of what they find and destroy."""

from __future__ import annotations

from batchwright.model.event import Event
from batchwright.model.fault import Fault


class SweepStarted(Event, frozen=True, tag="sweep_started"):
    """A sweep started: it lists everything in this lane that carries the run's label."""

    lane: str


class OrphanFound(Event, frozen=True, tag="stray_found"):
    """Something that carries the run's label and is not in the journal will be destroyed.

    `shared`: not an orphan but a resource that servers of the run shared (a security group, a key) and no longer need.
    """

    lane: str
    ref: str
    name: str = ""
    shared: bool = False


class OrphanRemovalEnded(Event, frozen=True, tag="stray_gone"):
    """The orphan is gone, or `fault` says why not."""

    lane: str
    ref: str
    fault: Fault | None = None


class SweepEnded(Event, frozen=True, tag="sweep_ended"):
    """The lane holds exactly what the journal says, or `fault` says why that is not certain."""

    lane: str
    fault: Fault | None = None
