"""Limits of an environment: the strictest source holds, what does not grow passes, and currencies are not added."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwright.model.guardrail_limits import GuardrailLimits, Impact, LimitsSource, broken_limits

FILE, OPERATOR = "the workflow sets limits.", "config.toml sets limits."


def told(impact: Impact, *, file: GuardrailLimits | None = None, operator: GuardrailLimits | None = None) -> str:
    sources = [
        LimitsSource(limits, place)
        for limits, place in ((file, FILE), (operator, OPERATOR))
        if limits is not None
    ]  # fmt: skip
    return "; ".join(f"{one.code} {one.message}" for one in broken_limits(sources, impact))


SERVERS, DESTROYS = GuardrailLimits(servers=3), GuardrailLimits(destroys=1)
EUR = GuardrailLimits(cost_per_hour={"EUR": 1.0})
BOTH = GuardrailLimits(cost_per_hour={"EUR": 2.0, "USD": 2.0})


@pytest.mark.parametrize(
    ("limits", "impact", "expected"),
    [
        (SERVERS, Impact(0, 3), ""),
        (SERVERS, Impact(0, 4), f"limit-exceeded the environment would have 4 servers; {FILE}servers = 3"),
        (SERVERS, Impact(3, 4), f"limit-exceeded the environment would have 4 servers; {FILE}servers = 3"),
        (SERVERS, Impact(9, 9), ""),  # it was larger before the limit came
        (SERVERS, Impact(9, 8, ("a",)), ""),
        (SERVERS, Impact(9, 10), f"limit-exceeded the environment would have 10 servers; {FILE}servers = 3"),
        (GuardrailLimits(servers=0), Impact(0, 1),
         f"limit-exceeded the environment would have 1 server; {FILE}servers = 0"),
        (DESTROYS, Impact(3, 2, ("a",)), ""),
        (DESTROYS, Impact(3, 1, ("a", "b")), f"limit-exceeded this would destroy 2 servers (a, b); {FILE}destroys = 1"),
        (DESTROYS, Impact(9, 0, tuple("abcdefgh")),
         f"limit-exceeded this would destroy 8 servers (a, b, c, d, e and 3 more); {FILE}destroys = 1"),
        (GuardrailLimits(destroys=0), Impact(2, 2, ("a",)),
         f"limit-exceeded this would destroy 1 server (a); {FILE}destroys = 0"),
        (EUR, Impact(0, 1, cost={"EUR": 1.0}), ""),
        (EUR, Impact(0, 1, cost={"EUR": 0.1 + 0.2 + 0.7}), ""),  # 1.0000000000000002 is no more than 1
        (EUR, Impact(0, 1, cost={"EUR": 1.5}),
         f"limit-exceeded the environment would cost 1.5 EUR per hour; {FILE}cost_per_hour = 1 EUR"),
        (EUR, Impact(2, 2, cost_before={"EUR": 2.0}, cost={"EUR": 2.0}), ""),
        (EUR, Impact(2, 1, cost_before={"EUR": 2.0}, cost={"EUR": 1.5}), ""),
        (EUR, Impact(0, 1, cost={"USD": 0.1}), "limit-unchecked the environment would cost 0.1 USD per hour; "
         f"{FILE}cost_per_hour for EUR only, and currencies are not converted"),
        (BOTH, Impact(0, 2, cost={"EUR": 1.5, "USD": 1.5}), ""),  # each by itself
        (BOTH, Impact(0, 2, cost={"EUR": 1.5, "USD": 2.5}),
         f"limit-exceeded the environment would cost 2.5 USD per hour; {FILE}cost_per_hour = 2 USD"),
        (GuardrailLimits(cost_per_hour={}), Impact(0, 1, cost={"EUR": 1.0}),
         "limit-unchecked the environment would cost 1 EUR per hour; "
         f"{FILE}cost_per_hour for no currency only, and currencies are not converted"),
        (EUR, Impact(0, 1, unpriced=("nobody tells",)),
         f"limit-unchecked {FILE}cost_per_hour, which cannot be checked: nobody tells"),
        (EUR, Impact(2, 1, unpriced=("nobody tells",), changes=False), ""),  # to take away is always possible
        (SERVERS, Impact(0, 1, unpriced=("nobody tells",)), ""),
    ],
)  # fmt: skip
def test_what_breaks_a_limit(limits: GuardrailLimits, impact: Impact, expected: str) -> None:
    assert told(impact, file=limits) == expected


def test_the_stricter_of_two_holds_and_is_named() -> None:
    assert "config.toml sets limits.servers = 2" in told(
        Impact(0, 4), file=SERVERS, operator=GuardrailLimits(servers=2)
    )
    assert "the workflow sets limits.servers = 3" in told(
        Impact(0, 4), file=SERVERS, operator=GuardrailLimits(servers=4)
    )
    cheap = GuardrailLimits(cost_per_hour={"EUR": 0.5, "USD": 0.5})
    assert "config.toml sets limits.cost_per_hour = 0.5 EUR" in told(
        Impact(0, 1, cost={"EUR": 3}), file=BOTH, operator=cheap
    )


def test_a_limit_for_another_currency_does_not_lift_the_operators() -> None:
    """Else a workflow that names a currency of its own could cost any amount in it."""
    generous = GuardrailLimits(cost_per_hour={"USD": 1_000_000.0})
    assert told(Impact(0, 1, cost={"USD": 500.0}), file=generous, operator=EUR).startswith("limit-unchecked")


def test_before_a_create_only_growth_is_judged() -> None:
    sources = [LimitsSource(GuardrailLimits(servers=1, destroys=0), FILE)]
    found = broken_limits(sources, Impact(1, 2, ("a",)), growth=True)
    assert [one.field for one in found] == ["servers"]


@pytest.mark.parametrize("amount", [-1, float("inf"), float("nan")])
def test_an_amount_is_a_number_from_0(amount: float) -> None:
    with pytest.raises(ValueError, match="must be 0 or more"):
        GuardrailLimits(cost_per_hour={"EUR": amount})


SOME = st.none() | st.integers(0, 9)


@given(
    st.lists(st.builds(GuardrailLimits, servers=SOME, destroys=SOME), max_size=4),
    st.integers(0, 9), st.integers(0, 9), st.integers(0, 9),
)  # fmt: skip
def test_more_sources_never_allow_more(limits: list[GuardrailLimits], before: int, after: int, destroyed: int) -> None:
    impact = Impact(before, after, tuple(str(i) for i in range(destroyed)))
    sources = [LimitsSource(one, FILE) for one in limits]
    for number in range(len(sources)):
        fewer = {one.field for one in broken_limits(sources[:number], impact)}
        assert fewer <= {one.field for one in broken_limits(sources, impact)}
    if after <= before and not destroyed:
        assert broken_limits(sources, impact) == []
