"""Hetzner Cloud's API as far as provisioning needs it: servers, SSH keys, offers, and faults."""

from batchwright.emulators.cloud import CloudEmulator
from batchwright.emulators.hetzner.app import TOKEN, HetznerEmulator
from batchwright.emulators.hetzner.coverage import coverage
from batchwright.emulators.hetzner.settings import HetznerBehaviour
from batchwright.emulators.server import serve

EMULATOR = CloudEmulator(
    title="Hetzner",
    port=9182,
    behaviour=HetznerBehaviour,
    emulator=HetznerEmulator,
    environ={"HCLOUD_ENDPOINT": "{url}/v1", "HCLOUD_TOKEN": TOKEN},
    coverage=coverage,
)

__all__ = ["EMULATOR", "TOKEN", "HetznerBehaviour", "HetznerEmulator", "serve"]
