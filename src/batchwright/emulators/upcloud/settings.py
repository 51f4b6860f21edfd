"""How the emulated UpCloud behaves. The defaults are a healthy account."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from batchwright.emulators.settings import EmulatorBehaviour
from batchwright.fault_injection.fault_names import CREATE_EFFECTS
from batchwright.fault_injection.settings import Chance, Count, Seconds


class UpCloudBehaviour(EmulatorBehaviour, frozen=True, kw_only=True):
    """Settings that only UpCloud has."""

    create_effects = tuple(word for word in CREATE_EFFECTS if word != "conflict")  # UpCloud has no code for it

    late_min: Seconds = 1.0
    late_max: Seconds = 30.0
    keep_addresses: Annotated[
        Chance, Meta(description="probability that a server's public address has the release policy keep")
    ] = 0.0
    left_disks: Annotated[
        Chance, Meta(description="probability that a server's disk outlives it, even with `storages=1`")
    ] = 0.0
    lag_servers: Annotated[Seconds, Meta(description="`list_lag` of servers alone")] = 0.0
    lag_disks: Annotated[Seconds, Meta(description="`list_lag` of disks alone")] = 0.0
    answer_seconds: Annotated[Seconds, Meta(description="median time of a call")] = 0.0
    boot_seconds: Annotated[
        Seconds, Meta(description="median time from create to started; recorded were 23 to 133")
    ] = 34.0
    stop_seconds: Annotated[Seconds, Meta(description="median time from stop to stopped; recorded were 6 to 35")] = 12.0
    creating_limit: Annotated[Count, Meta(description="maximum servers being created at a time; 0: no limit")] = 0
    cores: Annotated[Count, Meta(description="maximum cores of the account")] = 4000
    memory: Annotated[Count, Meta(description="maximum memory of the account, in MiB")] = 16_000_000
    public_ipv4: Annotated[Count, Meta(description="maximum public addresses of the account")] = 2000
    storage_total: Annotated[Count, Meta(description="maximum storage of the account, in GB")] = 400_000
    default_limit: Annotated[int, Meta(ge=1, description="entries of a listing that asks for no number")] = 25
    # No recorded answer shows that UpCloud takes these
    no_disk_labels: Annotated[bool, Meta(description="labels of a disk in a create call are refused")] = False
    no_login_user: Annotated[bool, Meta(description="`login_user` in a create call is refused")] = False
    no_label_filter: Annotated[bool, Meta(description="`label` in a listing of storages is refused")] = False
