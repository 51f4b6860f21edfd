"""A3, A6: one real service process drives ten runs while clients do what clients should not. No clock is looked at."""

from __future__ import annotations

import asyncio
import resource

import pytest
from bench.hostile_clients import PARTS, RUNS_DRIVEN, Outcome, measure

from batchwright.api.connection_limits import most_connections

FEW = 256  # descriptors


def well(outcome: Outcome, most: int) -> None:
    """All runs have ended as they should, by their first drivers, and descriptors were left."""
    assert outcome.completed == RUNS_DRIVEN
    assert outcome.doubts == 0
    assert outcome.drivers == RUNS_DRIVEN
    assert outcome.descriptors < most


def test_ten_runs_end_well_among_hostile_clients() -> None:
    """A3, A6: a tenth of all kinds at once, at a service that may have few descriptors."""
    outcome = asyncio.run(measure("all", 0.1, 12, FEW))
    well(outcome, FEW)
    told = outcome.answers
    assert not [words for words in told if words.endswith(("500", "Internal Server Error"))]
    # 200 with half a request, and 200 readers, at a service of 128 connections
    assert told["half request: closed"] + told["ConnectionResetError"] > most_connections(FEW)


@pytest.mark.long
@pytest.mark.parametrize("part", PARTS)
def test_ten_runs_end_well_among_all_of_them(part: str) -> None:
    """A3, A6: two thousand and more."""
    well(asyncio.run(measure(part)), resource.getrlimit(resource.RLIMIT_NOFILE)[1])
