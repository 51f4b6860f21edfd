"""What the emulated Hetzner is like. Chances are per call, times are a real cloud's seconds, scaled by `time_scale`."""

from __future__ import annotations

from collections.abc import Mapping

from batchwright.testing.emulators.faults import CallFaults, emulation_of


class Emulation(CallFaults, frozen=True):
    """The defaults are a healthy project; each field is a `--fault KEY=VALUE`."""

    list_lag: float = 0.0  # before a new thing is listed
    boot_seconds: float = 12.0  # from create to running
    delete_seconds: float = 3.0  # from delete to gone; until then the name is taken
    rate: float = 0.0  # calls a second, 0 for any number
    burst: int = 10
    retry_after: int = 1  # whole seconds, not scaled: it is what a client reads
    capacity: int = 0  # servers per location, 0 for any number
    servers: int = 0  # servers of the project, 0 for any number
    read_only: bool = False  # the token may look but not change
    expired: bool = False  # the token is no longer good


def emulation_from(faults: Mapping[str, str], seed: int = 0, time_scale: float = 1.0) -> Emulation:
    """Raises UsageError for what is not known or not of its kind."""
    return emulation_of(Emulation, "Hetzner", "docs/providers/hetzner.md", faults, seed, time_scale)
