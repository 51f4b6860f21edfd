"""How many examples hypothesis makes: all in `make test-long`, a part of them in `make test`."""

from __future__ import annotations

from hypothesis import settings

ALL = 100  # what `full` makes for a property that names no number
PART = 15

settings.register_profile("full", max_examples=ALL, deadline=None)
settings.register_profile("part", max_examples=PART, deadline=None)
settings.load_profile("part")


def share(count: int) -> int:
    """What this profile makes of so many examples."""
    return max(1, count * settings().max_examples // ALL)
