"""Plain values of settings and variables."""

from __future__ import annotations

from collections.abc import Mapping

Scalar = str | int | float | bool
PlainValue = Scalar | tuple[Scalar, ...]  # of a variable that is no secret; several for one of type list
SimulationSettings = Mapping[str, Scalar]  # by name, or by provider and name: "latency", "aws.rate"
