"""Cycles are found exactly when there are some, and what is said about one is true."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from batchwright.loader.cycles import MOST_CYCLES, cycles
from tests.support.examples import share


def operations(edges: dict[str, list[str]]) -> list[dict[str, Any]]:
    return [{"id": name, "dependencies": [{"id": other} for other in needs]} for name, needs in edges.items()]


def test_the_shortest_ring_is_named_from_the_first_operation_on_it() -> None:
    (found,) = cycles(operations({"z": [], "c": ["a"], "a": ["z", "b"], "b": ["c", "z"]}))
    assert found.diagnostic.message == 'dependency cycle: "c" needs "a" needs "b" needs "c"'
    assert found.path == ("batch_workflow", "operations", 1, "dependencies", 0, "id")


def test_a_long_ring_is_cut_short_in_the_message() -> None:
    (found,) = cycles(operations({str(n): [str((n + 1) % 50)] for n in range(50)}))
    assert found.diagnostic.message.count(" needs ") == 12
    assert found.diagnostic.message.endswith('"10" needs ... needs "0"')


def test_cycles_are_bounded() -> None:
    assert len(cycles(operations({str(n): [str(n)] for n in range(30)}))) == MOST_CYCLES


def test_what_is_wrong_already_is_passed_over() -> None:
    assert cycles([None, 5, {"id": None}, {"id": "a", "dependencies": [None, {"id": "b"}, {"id": None}]}]) == []


@settings(max_examples=share(200), deadline=None)
@given(st.dictionaries(st.sampled_from("abcdef"), st.lists(st.sampled_from("abcdef"), max_size=3, unique=True)))
def test_cycles_are_found_exactly_when_there_are_some(edges: dict[str, list[str]]) -> None:
    known = {name: [other for other in needs if other in edges] for name, needs in edges.items()}
    try:
        TopologicalSorter(known).prepare()
        has_cycle = False
    except CycleError:
        has_cycle = True
    found = cycles(operations(edges))
    assert bool(found) == has_cycle
    for one in found:
        names = [part.strip('"') for part in one.diagnostic.message.removeprefix("dependency cycle: ").split(" needs ")]
        assert names[0] == names[-1]
        assert all(second in known[first] for first, second in pairwise(names))
