"""One vocabulary: every place takes the same fault words, earlier words are understood, mistakes are explained."""

from __future__ import annotations

import pytest

from batchwright.errors import UsageError
from batchwright.fault_injection.settings import FaultSettings, described, parse


@pytest.mark.parametrize(
    ("old", "value", "new", "means"),
    [
        ("errors", 0.1, "transient", 0.1),
        ("unavailable", "0.1", "transient", 0.1),
        ("html502", 0.2, "bad_gateway", 0.2),
        ("stuck", 0.3, "never_ready", 0.3),
        ("expired", "true", "auth", "expired"),
        ("auth_fails", True, "auth", "wrong"),
        ("auth_fails", "false", "auth", ""),
    ],
)
def test_the_words_of_earlier_versions_are_understood(old: str, value: str | float, new: str, means: object) -> None:
    assert getattr(parse(FaultSettings, {old: value}, "here"), new) == means


def test_scripts_of_earlier_versions_are_understood() -> None:
    script = parse(FaultSettings, {"fail": "a=lost:1,b=late"}, "here").create_script()
    assert [script.effect((name,), 1) for name in "ab"] == ["lost_answers", "late_commits"]


@pytest.mark.parametrize(
    ("words", "says", "hint"),
    [
        ({"lost_answer": 0.1}, "here: there is no setting lost_answer", "Did you mean lost_answers?"),
        ({"errors": "often"}, "here: errors = often", "docs/faults.md lists the settings."),
        ({"expired": "perhaps"}, "here: expired = perhaps", "docs/faults.md lists the settings."),
        ({"late_max": "inf"}, "late_max = inf: expected a finite number", "docs/faults.md lists the settings."),
        ({"auth": "lost"}, "auth = lost: Invalid enum value", "docs/faults.md lists the settings."),
        ({"late_min": 9}, "late_max (3) is less than late_min (9)", "Set both: late_min=0.5 and late_max=3"),
        ({"fail": "web-01=exit"}, "fail = web-01=exit: there is no effect exit", None),
    ],
)
def test_a_mistake_says_where_and_what_would_be_right(words: dict[str, str], says: str, hint: str | None) -> None:
    with pytest.raises(UsageError) as raised:
        parse(FaultSettings, words, "here")
    assert says in raised.value.message
    assert raised.value.hint == hint or hint is None


def test_every_setting_says_what_it_means() -> None:
    rows = {name: (default, meaning) for name, default, meaning in described(FaultSettings)}
    assert rows["rate"][0] == "0"
    assert rows["late_max"] == ("3", "the longest delay of a late commit")
    assert all(meaning for _, meaning in rows.values())
