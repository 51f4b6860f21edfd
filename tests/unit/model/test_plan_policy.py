"""What rules have against a plan: results in both forms, days, exceptions."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from batchwright.model.diagnostic import Severity
from batchwright.model.plan_policy import (
    MESSAGE_MAX,
    VIOLATIONS_MOST,
    JudgedPlan,
    PolicyException,
    PolicyRule,
    judged,
    rules_of,
)

TODAY = date(2026, 6, 15)
PLAN = JudgedPlan("shop/production", {"web-1": "up", "web-2": "up", "db": "data"}, TODAY)
AT_WEB = {"message": "bad", "at": "web-1"}


def told(rule: PolicyRule, result: Any, plan: JudgedPlan = PLAN) -> list[str]:
    return [
        f"{one.where} {one.severity} {one.message} [{one.code}]" for one in judged([rule], {rule.name: result}, plan)
    ]


def deny(**rest: Any) -> PolicyRule:
    return PolicyRule("r", True, **rest)


@pytest.mark.parametrize(
    ("rule", "result", "expected"),
    [
        (deny(), [], []),
        (deny(message="no"), False, []),
        (deny(message="no"), True, ["policy error no (rule r) [policy-denied]"]),
        (deny(), ["a"], ["policy error a (rule r) [policy-denied]"]),
        (deny(), [AT_WEB], ["web-1 error bad (rule r) [policy-denied]"]),
        (PolicyRule("r", False), ["a"], ["policy warning a (rule r) [policy-warning]"]),
        (deny(), True, ["policy error the rule r cannot be used: it gives true, and has no `message` [policy-failed]"]),
    ],
)  # fmt: skip
def test_what_is_told(rule: PolicyRule, result: Any, expected: list[str]) -> None:
    assert told(rule, result) == expected


@pytest.mark.parametrize(
    "result", [None, 3, "text", {"message": "a"}, [3], [{"at": "x"}], [{"message": "a", "on": "b"}]]
)
def test_a_result_of_another_kind_refuses_the_plan(result: Any) -> None:
    (one,) = judged([PolicyRule("r", False)], {"r": result}, PLAN)
    assert (one.code, one.severity) == ("policy-failed", Severity.ERROR)
    assert "the rule r cannot be used" in one.message


@pytest.mark.parametrize(
    ("start", "code"),
    [
        (None, "policy-denied"),
        (date(2026, 6, 14), "policy-denied"),
        (TODAY, "policy-denied"),
        (date(2026, 6, 16), "policy-warning"),
    ],
)  # fmt: skip
def test_a_rule_denies_from_its_day_on(start: date | None, code: str) -> None:
    (one,) = judged([deny(start=start)], {"r": ["bad"]}, PLAN)
    assert one.code == code
    assert ("; from 2026-06-16 on this is refused" in one.message) == (code == "policy-warning")


@pytest.mark.parametrize(
    ("about", "violation", "passes"),
    [
        ({"server": "web-1"}, AT_WEB, True),
        ({"server": "web-2"}, AT_WEB, False),
        ({"server": "web-1"}, "bad", False),  # it does not say what it is about
        ({"operation": "up"}, AT_WEB, True),  # web-1 is one of its servers
        ({"operation": "data"}, AT_WEB, False),
        ({"operation": "up"}, {"message": "bad", "at": "up"}, True),
        ({"environment": "shop/production"}, "bad", True),
        ({"environment": "shop"}, "bad", False),
        ({"environment": "shop", "server": "web-1"}, AT_WEB, False),
        ({"environment": "shop/production", "server": "web-1"}, AT_WEB, True),
    ],
)
def test_an_exception_is_for_what_it_names(about: dict[str, str], violation: Any, passes: bool) -> None:
    rule = deny(exceptions=(PolicyException("moving", TODAY, **about),))
    assert (told(rule, [violation]) == []) == passes


def test_an_exception_holds_through_its_last_day_and_is_then_told() -> None:
    def found(end: date) -> list[tuple[str, ...]]:
        rule = deny(exceptions=(PolicyException("moving", end, "web-1"), PolicyException("other", end, "db")))
        return [one.notes for one in judged([rule], {"r": [AT_WEB]}, PLAN)]

    assert found(TODAY) == []
    assert found(date(2026, 6, 14)) == [("An exception for it ended on 2026-06-14: moving",)]


def test_one_exception_that_holds_is_enough() -> None:
    over, holds = (PolicyException("x", end, "web-1") for end in (date(2025, 1, 1), date(2027, 1, 1)))
    assert told(deny(exceptions=(over, holds)), [AT_WEB]) == []


def test_much_is_told_in_brief() -> None:
    found = judged([deny()], {"r": ["x" * 10_000] * (VIOLATIONS_MOST + 5)}, PLAN)
    assert len(found) == VIOLATIONS_MOST + 1
    assert found[-1].message == "and 5 more (r)"
    assert len(found[0].message) < MESSAGE_MAX + 50


def test_a_day_that_no_calendar_has_is_told() -> None:
    with pytest.raises(ValueError, match="the rule r names a day that no calendar has"):
        rules_of({"r": {"deny": True, "from": "2026-02-30", "exceptions": []}})
    exception = {"server": "a", "reason": "x", "end": "2026-02-30"}
    with pytest.raises(ValueError, match="no calendar"):
        rules_of({"r": {"deny": True, "exceptions": [exception]}})
