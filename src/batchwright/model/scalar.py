"""A plain value of a setting or a variable."""

from __future__ import annotations

from collections.abc import Mapping

Scalar = str | int | float | bool
SimulationSettings = Mapping[str, Scalar]  # by name, or by provider and name: "latency", "aws.rate"
