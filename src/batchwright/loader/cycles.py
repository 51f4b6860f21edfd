"""Finds the dependency cycles of a workflow and describes each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

from batchwright.loader.contract_report import OPERATIONS, PathDiagnostic
from batchwright.model.diagnostic import Diagnostic

MOST_CYCLES = 10
SHOWN_IDS = 12

Place = tuple[str | int, ...]  # in the operation
Edges = dict[str, dict[str, Place]]  # id -> the ids it needs, each with the place that says so


def cycles(operations: Sequence[Any]) -> list[PathDiagnostic]:
    """A finding for each cycle that would be left if those before it were opened; at most MOST_CYCLES."""
    numbers: dict[str, int] = {}
    for number, operation in enumerate(operations):
        if isinstance(operation, dict) and isinstance(operation.get("id"), str):
            numbers.setdefault(operation["id"], number)
    edges: Edges = {name: _needs(operations[number], numbers) for name, number in numbers.items()}
    findings = []
    for _ in range(MOST_CYCLES):
        try:
            TopologicalSorter(edges).prepare()
        except CycleError as error:
            ring = _shortest_ring(min(error.args[1], key=numbers.__getitem__), edges)
            findings.append(_finding(ring, numbers, edges))
            del edges[ring[0]][ring[1]]
        else:
            break
    return findings


def _needs(operation: Mapping[str, Any], known: Mapping[str, int]) -> dict[str, Place]:
    needs: dict[str, Place] = {}
    for place, dependency in enumerate(operation.get("dependencies") or ()):
        if isinstance(dependency, dict) and dependency.get("id") in known:
            needs.setdefault(dependency["id"], ("dependencies", place, "id"))
    when = operation.get("when")
    for probe in when if isinstance(when, dict) else ():
        if probe in known:
            needs.setdefault(probe, ("when", probe))
    return needs


def _shortest_ring(start: str, edges: Edges) -> list[str]:
    """From `start`, which is on a cycle, back to `start`."""
    before: dict[str, str] = {}
    queue = [start]
    for name in queue:
        for other in edges[name]:
            if other not in before:
                before[other] = name
                queue.append(other)
    ring = [start, before[start]]
    while ring[-1] != start:
        ring.append(before[ring[-1]])
    return ring[::-1]


def _finding(ring: list[str], numbers: Mapping[str, int], edges: Edges) -> PathDiagnostic:
    names = [f'"{name}"' for name in ring]
    if len(names) > SHOWN_IDS:
        names[SHOWN_IDS - 1 : -1] = ["..."]
    path = (*OPERATIONS, numbers[ring[0]], *edges[ring[0]][ring[1]])
    message = f"dependency cycle: {' needs '.join(names)}"
    return PathDiagnostic(path, Diagnostic("dependency-cycle", message, "Remove one of these dependencies."))
