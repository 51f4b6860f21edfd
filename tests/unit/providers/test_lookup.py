"""What adapters share when they look."""

from __future__ import annotations

import asyncio

import pytest

from batchwright.providers.diagnostics import not_offered
from batchwright.providers.lookup import FEW, is_wanted, records


@pytest.mark.parametrize("many", [False, True])
def test_few_are_asked_for_one_by_one_and_of_many_only_what_the_listing_lacks(many: bool) -> None:
    refs = [f"s{number}" for number in range(FEW + many)]
    listings, asked = [], []

    async def listing() -> dict[str, str]:
        listings.append(1)
        return {ref: f"listed {ref}" for ref in [*refs[1:], "another"]}

    async def record(ref: str) -> str | None:
        asked.append(ref)
        return None if ref == "s0" else f"read {ref}"

    found = asyncio.run(records(refs, listing, record))
    assert "s0" not in found
    assert (len(listings), asked) == ((1, ["s0"]) if many else (0, refs))
    assert found["s1"] == ("listed s1" if many else "read s1")


@pytest.mark.parametrize(
    ("run", "token", "wanted"),
    [(None, None, True), ("r", None, True), ("r", "t", True), ("x", None, False), ("r", "x", False)],
)
def test_what_is_asked_for_is_compared_with_the_labels(run: str | None, token: str | None, wanted: bool) -> None:
    assert is_wanted(("r", "t"), run, token) is wanted


def test_what_has_no_label_is_nobodys() -> None:
    assert not is_wanted(("", ""), None, None)


def test_a_name_that_is_not_offered_is_told_with_the_nearest_or_what_there_is() -> None:
    near, far = not_offered("plan", "smal", ["small", "large"], "no"), not_offered("plan", "x", ["b", "a"], "no")
    assert (near.code, near.field, near.hint) == ("unknown-plan", "plan", 'Did you mean "small"?')
    assert far.hint == "Available: a, b"
    assert not_offered("plan", "x", [], "no", "Name it by its id.").hint == "Name it by its id."
