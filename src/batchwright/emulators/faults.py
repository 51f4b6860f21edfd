"""What can go wrong with a call to any emulated cloud, and how a user names it with --fault."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import msgspec
from msgspec import Struct

from batchwright.errors import UsageError
from batchwright.model.did_you_mean import close_matches


class CallFaults(Struct, frozen=True):
    """Chances are per call, times are a real cloud's seconds; the fields of a subclass are `--fault`s too."""

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
    read_errors: float = 0.0  # of looks: 5xx, 429, a gateway's page, or no answer

    def scaled(self, seconds: float) -> float:
        """Seconds of this machine's clock."""
        return seconds * self.time_scale


class ServiceFaults(CallFaults, frozen=True):
    """Of an account behind one front of HTTP."""

    rate: float = 0.0  # calls a second, 0 for any number
    burst: int = 10
    retry_after: int = 1  # whole seconds, not scaled: it is what a client reads; 0: it is not told
    read_only: bool = False  # the token may look but not change
    expired: bool = False  # the token is no longer good
    denied: str = ""  # calls that the token has no right to, by comma: "GET /ip_address,GET /price"
    failing: str = ""  # the same, for calls that are always answered 503
    unordered: bool = False  # a listing has another order each time that it is asked for


E = TypeVar("E", bound=CallFaults)


def emulation_of(kind: type[E], cloud: str, page: str, faults: Mapping[str, str], seed: int, time_scale: float) -> E:
    """Raises UsageError for what is not known or not of its kind."""
    known = kind.__struct_fields__[2:]
    for key in faults:
        if key not in known:
            near = close_matches(key, known, n=1)
            raise UsageError(
                f"the emulated {cloud} has no fault {key}",
                hint=f"Did you mean {near[0]}?" if near else f"Known: {', '.join(known)}",
            )
    if time_scale <= 0:
        raise UsageError(f"--time-scale {time_scale:g}: expected a number above 0")
    try:
        return msgspec.convert({**faults, "seed": seed, "time_scale": time_scale}, kind, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(f"the emulated {cloud}: {error}", hint=f"{page} lists the faults.") from error
