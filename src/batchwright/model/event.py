"""What all events share."""

from __future__ import annotations

from msgspec import Struct


class Event(Struct, frozen=True, tag_field="type", omit_defaults=True, gc=False):
    """`at` is the time in seconds since the epoch, by the clock of the process that drives the run."""

    at: float
