"""What the emulated UpCloud is like. Chances are per call, times are a real cloud's seconds, scaled by `time_scale`."""

from __future__ import annotations

from collections.abc import Mapping

from batchwright.emulators.faults import ServiceFaults, emulation_of


class UpCloudBehaviour(ServiceFaults, frozen=True):
    """The defaults are a healthy account; each field is a `--fault KEY=VALUE`."""

    # What goes wrong with a server
    stuck: float = 0.0  # stays in maintenance for an hour
    broken: float = 0.0  # comes up in the state error
    keep_addresses: float = 0.0  # its public address has the release policy keep
    left_disks: float = 0.0  # its disk outlives its deletion, whatever was asked for
    # What it does not take: no recorded answer says that it does
    no_disk_labels: bool = False  # labels of a disk in a create call
    no_login_user: bool = False
    no_label_filter: bool = False  # `label` in a listing of storages
    # Times
    list_lag: float = 0.0  # before a new thing is listed
    lag_servers: float = 0.0  # the same for one kind alone
    lag_disks: float = 0.0
    answer_seconds: float = 0.0
    boot_seconds: float = 34.0  # the median; recorded were 23 to 133
    stop_seconds: float = 12.0  # the median; recorded were 6 to 35
    # Limits
    creating_limit: int = 0  # servers that may be in the making at a time, 0 for any number
    capacity: int = 0  # servers per zone, 0 for any number
    cores: int = 4000
    memory: int = 16_000_000  # MiB
    public_ipv4: int = 2000
    storage_total: int = 400_000  # GB
    default_limit: int = 25  # entries of a page that asks for no number


def emulation_from(faults: Mapping[str, str], seed: int = 0, time_scale: float = 1.0) -> UpCloudBehaviour:
    """Raises UsageError for what is not known or not of its kind."""
    return emulation_of(UpCloudBehaviour, "UpCloud", "docs/providers/upcloud.md", faults, seed, time_scale)
