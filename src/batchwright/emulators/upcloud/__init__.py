"""UpCloud's API 1.3 as far as provisioning needs it: servers, disks, addresses, and faults."""

from batchwright.emulators.cloud import CloudEmulator
from batchwright.emulators.server import serve
from batchwright.emulators.upcloud.app import TOKEN, UpCloudEmulator
from batchwright.emulators.upcloud.backed import BackedUpCloudAccount
from batchwright.emulators.upcloud.coverage import coverage
from batchwright.emulators.upcloud.settings import UpCloudBehaviour

EMULATOR = CloudEmulator(
    title="UpCloud",
    port=9180,
    behaviour=UpCloudBehaviour,
    emulator=UpCloudEmulator,
    environ={"UPCLOUD_API_URL": "{url}", "UPCLOUD_TOKEN": TOKEN},
    coverage=coverage,
    backed=BackedUpCloudAccount,
)

__all__ = ["EMULATOR", "TOKEN", "BackedUpCloudAccount", "UpCloudBehaviour", "UpCloudEmulator", "serve"]
