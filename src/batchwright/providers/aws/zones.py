"""Zones and regions of AWS. Pure."""

from __future__ import annotations

import re

_ZONE = re.compile(r"([a-z]{2,3}(?:-[a-z]+){1,2}-\d)([a-z]?)")


def region_of(zone: str) -> str:
    """The region of a zone; empty if it is neither a region nor a zone."""
    found = _ZONE.fullmatch(zone)
    return found.group(1) if found else ""


def is_availability_zone(zone: str) -> bool:
    """Whether it names an availability zone, not just a region."""
    found = _ZONE.fullmatch(zone)
    return bool(found and found.group(2))
