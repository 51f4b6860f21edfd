"""How an emulated AWS behaves: from KEY=VALUE words to checked values. Assumptions that are numbers stand here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from batchwright.errors import UsageError
from batchwright.model.did_you_mean import close_matches

Seconds = Annotated[float, Meta(ge=0)]
Chance = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=0)]


class AwsBehaviour(Struct, frozen=True, kw_only=True):
    """Durations are seconds; chances are from 0 to 1 and drawn from `seed`; 0 calls per second is no limit."""

    seed: int = 1
    regions: str = "eu-central-1,us-east-1"
    answer_seconds: Seconds = 0.05  # until a call that changes something is answered
    boot_seconds: Seconds = 2.0  # from the create until "running"
    shutdown_seconds: Seconds = 1.0  # from the terminate until "terminated"
    forget_seconds: Seconds = 3600.0  # for so long a terminated instance is still listed
    list_lag: Seconds = 0.0  # until what was made shows up in a describe
    lag_tags: Seconds = 0.0  # the same for each kind of look by itself: tags, on what is listed already
    lag_instances: Seconds = 0.0
    lag_volumes: Seconds = 0.0
    lag_interfaces: Seconds = 0.0
    lag_groups: Seconds = 0.0
    lag_keys: Seconds = 0.0
    page_size: Annotated[int, Meta(ge=5)] = 1000  # most rows of one page, whatever is asked for

    lost_answers: Chance = 0.0  # the call is carried out, the connection breaks before its answer
    late_commits: Chance = 0.0  # the connection breaks, and the call is carried out later
    late_min: Seconds = 0.5
    late_max: Seconds = 3.0
    unavailable: Chance = 0.0  # 503, nothing is done
    read_errors: Chance = 0.0  # 503 of a call that only reads
    broken: Chance = 0.0  # the instance ends by itself, as on an internal error

    rate: Annotated[float, Meta(ge=0)] = 2.0  # RunInstances per second and region, as AWS documents it
    burst: Annotated[int, Meta(ge=1)] = 5
    capacity: Count = 0  # most instances of a zone; 0: no limit
    vcpus: Count = 1000  # the quota of on-demand standard instances, per region
    denied: str = ""  # actions that the credentials have no right to, by comma
    failing: str = ""  # actions that are always answered 503 with a gateway's page, by comma
    unordered: bool = False  # each page of a describe is in an order of its own
    auth: str = ""  # "expired" or "wrong": what is said of every credential
    clock_skew: float = 0.0  # seconds that this cloud's clock is ahead of the machine's

    def __post_init__(self) -> None:
        if self.late_max < self.late_min:
            raise UsageError("emulator: late_max is less than late_min", hint="Set both.")
        if self.auth not in ("", "expired", "wrong"):
            raise UsageError(f'emulator: auth = "{self.auth}"', hint='It is "expired" or "wrong".')


_DURATIONS = (
    "answer_seconds",
    "boot_seconds",
    "shutdown_seconds",
    "forget_seconds",
    "list_lag",
    *("lag_tags", "lag_instances", "lag_volumes", "lag_interfaces", "lag_groups", "lag_keys"),
    "late_min",
    "late_max",
)
_TYPES = {field.name: field.type for field in msgspec.structs.fields(AwsBehaviour)}


def behaviour(given: Mapping[str, str], seed: int = 1, time_scale: float = 1.0) -> AwsBehaviour:
    """From a table such as {"lost_answers": "0.1"}; durations are multiplied. Raises UsageError."""
    for key in given:
        if key not in _TYPES:
            near = close_matches(key, _TYPES, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(_TYPES)}"
            raise UsageError(f"emulator: there is no setting {key}", hint=hint)
    try:
        found = msgspec.convert({"seed": seed, **given}, AwsBehaviour, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(f"emulator: {error}", hint="docs/providers/aws.md has the settings.") from error
    return msgspec.structs.replace(found, **{key: getattr(found, key) * time_scale for key in _DURATIONS})
