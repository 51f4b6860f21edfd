"""Which instance type a plan means, and which region a zone is in. Pure."""

from __future__ import annotations

import re

# The cheapest current x86 type with at least that much; T types have at least two processors.
SIZES = {
    "1xCPU-1GB": "t3.micro",
    "1xCPU-2GB": "t3.small",
    "2xCPU-4GB": "t3.medium",
    "2xCPU-8GB": "t3.large",
    "4xCPU-8GB": "c6i.xlarge",
    "4xCPU-16GB": "t3.xlarge",
    "8xCPU-16GB": "c6i.2xlarge",
    "8xCPU-32GB": "t3.2xlarge",
}


_ZONE = re.compile(r"([a-z]{2,3}(?:-[a-z]+){1,2}-\d)([a-z]?)")


def instance_type(plan: str) -> str:
    """The instance type of a plan."""
    return SIZES.get(plan, plan)


def region_of(zone: str) -> str:
    """The region of a zone; empty if it is neither a region nor a zone."""
    found = _ZONE.fullmatch(zone)
    return found.group(1) if found else ""


def is_availability_zone(zone: str) -> bool:
    """Whether it names an availability zone, not just a region."""
    found = _ZONE.fullmatch(zone)
    return bool(found and found.group(2))
