"""Places: networks that only a worker inside can reach."""

from __future__ import annotations

import re

NAME = re.compile("[a-z0-9][a-z0-9-]{0,40}")


def port_key(provider: str, at: str) -> str:
    """The name of a runner or a launcher for servers of a provider, reached from a place.

    >>> port_key("upcloud", ""), port_key("upcloud", "madrid"), port_key("", "madrid")
    ('upcloud', 'upcloud@madrid', '@madrid')
    """
    return f"{provider}@{at}" if at else provider
