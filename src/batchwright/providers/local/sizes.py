"""How large a plan of this machine is. Pure."""

from __future__ import annotations

import re

from msgspec import Struct

MEMORY_LEAST, MEMORY_MOST, CPUS_MOST = 64, 1024 * 1024, 1024
_PLAN = re.compile(r"(?P<cpus>[1-9][0-9]{0,3})xCPU-(?P<size>[1-9][0-9]{0,6})(?P<unit>GB|MB)")


class Size(Struct, frozen=True):
    """What a plan's name stands for."""

    cpus: int
    memory_mb: int


def size_of(plan: str) -> Size | None:
    """`2xCPU-4GB` or `1xCPU-512MB`; None for anything else."""
    found = _PLAN.fullmatch(plan)
    if found is None:
        return None
    size = Size(int(found["cpus"]), int(found["size"]) * (1024 if found["unit"] == "GB" else 1))
    return size if size.cpus <= CPUS_MOST and MEMORY_LEAST <= size.memory_mb <= MEMORY_MOST else None
