"""The first boot of an instance: as on other clouds, within what EC2 takes. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from batchwright.providers import user_data as shared
from batchwright.providers.user_data import combined, kind_of

__all__ = ["BYTES_MAX", "against", "combined", "kind_of"]

BYTES_MAX = 16384  # of EC2, before base64


def against(user_data: str, ssh_keys: Sequence[str]) -> str:
    """Why this cannot be given to a server; empty where it can."""
    return shared.against(user_data, ssh_keys, BYTES_MAX, "AWS")
