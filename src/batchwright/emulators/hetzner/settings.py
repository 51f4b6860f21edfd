"""How the emulated Hetzner behaves. The defaults are a healthy project."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from batchwright.emulators.settings import EmulatorBehaviour
from batchwright.fault_injection.fault_names import CREATE_EFFECTS
from batchwright.fault_injection.settings import Chance, Count, Seconds


class HetznerBehaviour(EmulatorBehaviour, frozen=True, kw_only=True):
    """What only Hetzner has, and Hetzner's own defaults."""

    create_effects = tuple(word for word in CREATE_EFFECTS if word != "billing")  # Hetzner has no code for it

    late_min: Seconds = 1.0
    late_max: Seconds = 30.0
    lag_servers: Annotated[Seconds, Meta(description="`list_lag` of servers alone")] = 0.0
    lag_ssh_keys: Annotated[Seconds, Meta(description="`list_lag` of keys alone")] = 0.0
    unsorted: Annotated[bool, Meta(description="`sort` is refused")] = False
    boot_seconds: Annotated[Seconds, Meta(description="time from create to running")] = 12.0
    delete_seconds: Annotated[Seconds, Meta(description="time from delete to gone; until then the name is in use")] = (
        3.0
    )
    stop_seconds: Annotated[Seconds, Meta(description="time from a shutdown to off")] = 4.0
    resize_seconds: Annotated[Seconds, Meta(description="time until a server has another type")] = 8.0
    failed_resizes: Annotated[
        Chance, Meta(description="probability that another type is accepted, and its action fails at the end")
    ] = 0.0
    quota_cores: Annotated[
        Count, Meta(description="maximum cores of the project when a type is changed; 0: no limit")
    ] = 0
    quota_servers: Annotated[Count, Meta(description="maximum servers of the project; 0: no limit")] = 0
