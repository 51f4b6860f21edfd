"""Hetzner Cloud's API as far as provisioning needs it: servers, SSH keys, what is sold, and what can go wrong."""

from batchwright.testing.emulators.hetzner.app import TOKEN, Emulator
from batchwright.testing.emulators.hetzner.coverage import explanation
from batchwright.testing.emulators.hetzner.settings import Emulation, emulation_from
from batchwright.testing.emulators.service import SUMMARY
from batchwright.testing.emulators.serving import serve

__all__ = ["SUMMARY", "TOKEN", "Emulation", "Emulator", "emulation_from", "explanation", "serve"]
