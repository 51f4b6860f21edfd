"""UpCloud's API 1.3 as far as provisioning needs it: servers, disks, addresses, and all that can go wrong."""

from batchwright.emulators.front import SUMMARY
from batchwright.emulators.server import serve
from batchwright.emulators.upcloud.app import TOKEN, UpCloudEmulator
from batchwright.emulators.upcloud.backed import BackedUpCloudAccount
from batchwright.emulators.upcloud.coverage import explanation
from batchwright.emulators.upcloud.settings import UpCloudBehaviour, emulation_from

__all__ = [
    "SUMMARY",
    "TOKEN",
    "BackedUpCloudAccount",
    "UpCloudBehaviour",
    "UpCloudEmulator",
    "emulation_from",
    "explanation",
    "serve",
]
