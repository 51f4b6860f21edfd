"""How the emulated AWS behaves. The defaults are a healthy account, with the rate that AWS documents."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from batchwright.emulators.settings import EmulatorBehaviour
from batchwright.fault_injection.settings import Count, Positive, Rate, Seconds


class AwsBehaviour(EmulatorBehaviour, frozen=True, kw_only=True):
    """What only AWS has, and AWS's own defaults."""

    regions: Annotated[str, Meta(description="the regions, with commas between")] = "eu-central-1,us-east-1"
    rate: Rate = 2.0
    burst: Positive = 5
    retry_after: Count = 0
    vcpus: Annotated[Count, Meta(description="the quota of on-demand standard instances, per region")] = 1000
    answer_seconds: Annotated[Seconds, Meta(description="time of a call that changes something")] = 0.05
    boot_seconds: Annotated[Seconds, Meta(description="time from the create until running")] = 2.0
    shutdown_seconds: Annotated[Seconds, Meta(description="time from the terminate until terminated")] = 1.0
    stop_seconds: Annotated[Seconds, Meta(description="time from the stop until stopped")] = 1.0
    forget_seconds: Annotated[Seconds, Meta(description="how long a terminated instance stays listed")] = 3600.0
    lag_tags: Annotated[Seconds, Meta(description="`list_lag` of tags, on what is listed already")] = 0.0
    lag_instances: Annotated[Seconds, Meta(description="`list_lag` of instances alone")] = 0.0
    lag_volumes: Annotated[Seconds, Meta(description="`list_lag` of volumes alone")] = 0.0
    lag_interfaces: Annotated[Seconds, Meta(description="`list_lag` of network interfaces alone")] = 0.0
    lag_groups: Annotated[Seconds, Meta(description="`list_lag` of security groups alone")] = 0.0
    lag_keys: Annotated[Seconds, Meta(description="`list_lag` of key pairs alone")] = 0.0
    page_size: Annotated[int, Meta(ge=5, description="maximum rows of a page, whatever is asked for")] = 1000
    clock_skew: Annotated[float, Meta(description="seconds by which the cloud's clock is ahead of this machine's")] = (
        0.0
    )
