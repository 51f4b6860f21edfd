"""What the emulated UpCloud is like. Chances are per call, times are a real cloud's seconds, scaled by `time_scale`."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

import msgspec
from msgspec import Struct

from batchwright.errors import UsageError


class Emulation(Struct, frozen=True):
    """The defaults are a healthy account; each field but the first two is a `--fault KEY=VALUE`."""

    seed: int = 0
    time_scale: float = 1.0
    # What goes wrong with a call
    errors: float = 0.0  # 500 and 503 in either shape; nothing is done
    html502: float = 0.0  # a gateway's page; half of the changes are carried out all the same
    throttle: float = 0.0  # 429 with Retry-After
    lost_answers: float = 0.0  # carried out, then the connection is dropped
    late_commits: float = 0.0  # a create: the connection is dropped, and the server appears later
    late_min: float = 1.0
    late_max: float = 30.0
    read_errors: float = 0.0  # of looks: 503, a gateway's page, or no answer
    # What goes wrong with a server
    stuck: float = 0.0  # stays in maintenance for an hour
    broken: float = 0.0  # comes up in the state error
    keep_addresses: float = 0.0  # its public address has the release policy keep
    left_disks: float = 0.0  # its disk outlives its deletion, whatever was asked for
    # Times
    list_lag: float = 0.0  # before a new thing is listed
    answer_seconds: float = 0.0
    boot_seconds: float = 34.0  # the median; recorded were 23 to 133
    stop_seconds: float = 12.0  # the median; recorded were 6 to 35
    # Limits
    rate: float = 0.0  # requests a second, 0 for any number
    burst: int = 10
    retry_after: int = 1  # whole seconds, not scaled: it is what a client reads
    creating_limit: int = 0  # servers that may be in the making at a time, 0 for any number
    capacity: int = 0  # servers per zone, 0 for any number
    cores: int = 4000
    memory: int = 16_000_000  # MiB
    public_ipv4: int = 2000
    storage_total: int = 400_000  # GB
    default_limit: int = 25  # entries of a page that asks for no number
    # Who may do what
    read_only: bool = False  # the token may look but not change
    expired: bool = False  # the token is no longer good

    def scaled(self, seconds: float) -> float:
        """Seconds of this machine's clock."""
        return seconds * self.time_scale


def emulation_from(faults: Mapping[str, str], seed: int = 0, time_scale: float = 1.0) -> Emulation:
    """Raises UsageError for what is not known or not of its kind."""
    known = Emulation.__struct_fields__[2:]
    for key in faults:
        if key not in known:
            near = get_close_matches(key, known, n=1)
            raise UsageError(
                f"the emulated UpCloud has no fault {key}",
                hint=f"Did you mean {near[0]}?" if near else f"Known are: {', '.join(known)}",
            )
    if time_scale <= 0:
        raise UsageError(f"--time-scale {time_scale:g}: expected a number above 0")
    try:
        found = msgspec.convert({**faults, "seed": seed, "time_scale": time_scale}, Emulation, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(
            f"the emulated UpCloud: {error}", hint="docs/providers/upcloud.md lists the faults."
        ) from error
    return found
