"""UpCloud's API 1.3 as far as provisioning needs it: servers, disks, addresses, and all that can go wrong."""

from batchwright.testing.emulators.service import SUMMARY
from batchwright.testing.emulators.serving import serve
from batchwright.testing.emulators.upcloud.app import TOKEN, Emulator
from batchwright.testing.emulators.upcloud.backed import BackedEstate
from batchwright.testing.emulators.upcloud.coverage import explanation
from batchwright.testing.emulators.upcloud.settings import Emulation, emulation_from

__all__ = ["SUMMARY", "TOKEN", "BackedEstate", "Emulation", "Emulator", "emulation_from", "explanation", "serve"]
