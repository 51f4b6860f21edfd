"""What the emulated Hetzner is like. Chances are per call, times are a real cloud's seconds, scaled by `time_scale`."""

from __future__ import annotations

from collections.abc import Mapping

from batchwright.emulators.faults import ServiceFaults, emulation_of


class HetznerBehaviour(ServiceFaults, frozen=True):
    """The defaults are a healthy project; each field is a `--fault KEY=VALUE`."""

    list_lag: float = 0.0  # before a new thing is listed
    lag_servers: float = 0.0  # the same for one kind alone
    lag_ssh_keys: float = 0.0
    unsorted: bool = False  # `sort` is refused
    boot_seconds: float = 12.0  # from create to running
    delete_seconds: float = 3.0  # from delete to gone; until then the name is taken
    capacity: int = 0  # servers per location, 0 for any number
    servers: int = 0  # servers of the project, 0 for any number


def emulation_from(faults: Mapping[str, str], seed: int = 0, time_scale: float = 1.0) -> HetznerBehaviour:
    """Raises UsageError for what is not known or not of its kind."""
    return emulation_of(HetznerBehaviour, "Hetzner", "docs/providers/hetzner.md", faults, seed, time_scale)
