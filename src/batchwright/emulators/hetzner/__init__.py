"""Hetzner Cloud's API as far as provisioning needs it: servers, SSH keys, what is sold, and what can go wrong."""

from batchwright.emulators.front import SUMMARY
from batchwright.emulators.hetzner.app import TOKEN, HetznerEmulator
from batchwright.emulators.hetzner.coverage import explanation
from batchwright.emulators.hetzner.settings import HetznerBehaviour, emulation_from
from batchwright.emulators.server import serve

__all__ = ["SUMMARY", "TOKEN", "HetznerBehaviour", "HetznerEmulator", "emulation_from", "explanation", "serve"]
