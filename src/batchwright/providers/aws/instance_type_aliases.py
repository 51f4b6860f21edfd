"""Which instance type a plan means. Pure."""

from __future__ import annotations

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


def instance_type(plan: str) -> str:
    """The instance type of a plan."""
    return SIZES.get(plan, plan)
