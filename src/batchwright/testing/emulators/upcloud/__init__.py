"""UpCloud's API 1.3 as far as provisioning needs it: servers, disks, addresses, and all that can go wrong."""

from batchwright.testing.emulators.upcloud.app import Emulator, serve
from batchwright.testing.emulators.upcloud.settings import Emulation

__all__ = ["Emulation", "Emulator", "serve"]
