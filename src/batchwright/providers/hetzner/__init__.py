"""Hetzner Cloud: the provider port over API 1, where the names of servers are unique."""

from batchwright.providers.hetzner.adapter import Hetzner

__all__ = ["Hetzner"]
