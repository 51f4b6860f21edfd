"""C6: what was meant is found whatever its case."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwright.loader.contract_report import suggestion
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.did_you_mean import close_matches
from batchwright.model.workflow import ServerConfig
from batchwright.operations.suggestions import did_you_mean
from tests.unit.app.test_preflight import simulated

KNOWN = ["de-fra1", "us-nyc1", "1xCPU-2GB", "DEV-1xCPU-1GB"]


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("change", [str.upper, str.lower, str.swapcase])
def test_a_name_in_another_case_is_as_near_as_can_be(name: str, change: Callable[[str], str]) -> None:
    """C6: fields, operations, task services, all that is suggested."""
    assert close_matches(change(name), KNOWN, 1, 0.99) == [name]
    assert suggestion(change(name), KNOWN) == did_you_mean(change(name), KNOWN) == f'Did you mean "{name}"?'


def test_the_plan_and_zone_of_a_provider_are_suggested() -> None:
    """C6: `DE-FRA1` was told that there are these zones, `de-fra1` among them."""
    (found,) = asyncio.run(simulated("upcloud").resolve([ServerConfig("a", "1XCPU-2gb", "DE-FRA1")]))
    assert isinstance(found, list)
    hints = {one.code: one.hint for one in found if isinstance(one, Diagnostic)}
    assert hints == {"unknown-plan": 'Did you mean "1xCPU-2GB"?', "unknown-zone": 'Did you mean "de-fra1"?'}


@given(st.text(max_size=8), st.lists(st.text(max_size=8), max_size=6))
def test_only_known_names_are_suggested(word: str, known: list[str]) -> None:
    """C6: each as it is known."""
    found = close_matches(word, known)
    assert set(found) <= set(known)
    assert len(found) <= 3
