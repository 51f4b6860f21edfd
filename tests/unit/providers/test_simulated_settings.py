"""Settings of a simulation: defaults, types, mistakes, scripted faults, one provider's own."""

import pytest

from batchwright.errors import UsageError
from batchwright.model.plan import Guard
from batchwright.providers.simulated import Simulation

from_settings = Simulation.from_settings


def test_words_of_a_command_line_become_values() -> None:
    given = {"seed": "7", "lost_answers": "0.1", "auth": "wrong", "guard": "token", "fail": 5}
    sim = from_settings(given)
    assert (sim.seed, sim.lost_answers, sim.auth, sim.guard, sim.fail) == (7, 0.1, "wrong", Guard.TOKEN, "5")


def test_the_defaults_have_no_faults() -> None:
    sim = from_settings({})
    assert sim == Simulation()
    assert sim.settle_seconds() == 0
    assert not sim.late_possible()


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("lost_answers", 1.5, "<= 1"),
        ("lost_answers", "often", "float"),
        ("list_lag", -1, ">= 0"),
        ("list_lag", "inf", "finite"),
        ("rate", "nan", ">= 0"),
        ("seed", "x", "int"),
        ("guard", "hope", "hope"),
        ("upcloud.guard", "hope", "upcloud.guard"),
        ("fail", "web-01=explode", "no effect explode"),
        ("fail", "=late", "expected NAME"),
        ("fail", "web-01:0", "expected NAME"),
        ("flaky", "web-01:often", "flaky = web-01"),
        ("fail_taskserv", "redis=late_commits", "no effect late_commits"),
        ("late_min", 9, "less than late_min"),
    ],
)
def test_a_bad_value_is_explained(key: str, value: str | float, says: str) -> None:
    with pytest.raises(UsageError, match=says) as raised:
        from_settings({key: value}, "upcloud")
    assert raised.value.hint


@pytest.mark.parametrize("key", ["lost_answer", "upcloud.lost_answer", "aws.lost_answer"])
def test_an_unknown_key_says_what_was_meant(key: str) -> None:
    with pytest.raises(UsageError, match=f"no setting {key}") as raised:
        from_settings({key: 0.1}, "upcloud")
    assert raised.value.hint == "Did you mean lost_answers?"


def test_a_providers_own_setting_wins_over_the_general_one() -> None:
    settings = {"rate": 5, "upcloud.rate": 2, "aws.guard": "token"}
    assert from_settings(settings, "upcloud").rate == 2
    assert from_settings(settings, "aws").rate == 5
    assert from_settings(settings, "aws").guard is Guard.TOKEN
    assert from_settings(settings, "upcloud").guard is Guard.LABEL_ONLY


def test_instant_keeps_what_is_asked_for_and_checks_it() -> None:
    sim = Simulation.instant(list_lag=3, guard="token")
    assert (sim.answer_seconds, sim.boot_seconds, sim.list_lag, sim.guard) == (0, 0, 3, Guard.TOKEN)
    with pytest.raises(UsageError):
        Simulation.instant(guard="hope")


@pytest.mark.parametrize(
    ("settings", "worst"),
    [
        ({"list_lag": 4}, 4),
        ({"late_commits": 0.1, "late_max": 8}, 8),
        ({"late_commits": 0.1, "late_max": 8, "list_lag": 4}, 12),
        ({"fail": "web-01=late_commits:1", "late_max": 8}, 8),
        ({"list_lag": 4, "time_scale": 10}, 40),
    ],
)
def test_the_settle_time_is_longer_than_the_worst_delay(settings: dict[str, float | str], worst: float) -> None:
    assert worst < from_settings(settings).settle_seconds() < worst * 1.5 + 1


@pytest.mark.parametrize(
    ("script", "name", "effects"),
    [
        ("web-02", "web-02", ["permanent"] * 3),
        ("web-02", "web-01", ["", "", ""]),
        ("web-*=capacity:2", "web-07", ["capacity", "capacity", ""]),
        ("web-01=transient:1, web-*=late_commits", "web-01", ["transient", "late_commits", "late_commits"]),
        ("db-?", "db-10", ["", "", ""]),
    ],
)
def test_scripts_are_read_in_order(script: str, name: str, effects: list[str]) -> None:
    parsed = from_settings({"fail": script}).create_script()
    assert [parsed.effect((name,), attempt) for attempt in (1, 2, 3)] == effects


def test_flaky_is_short_for_transient_and_once_by_default() -> None:
    parsed = from_settings({"flaky": "web-01:2, web-02"}).create_script()
    assert [parsed.effect(("web-01",), attempt) for attempt in (1, 2, 3)] == ["transient", "transient", ""]
    assert [parsed.effect(("web-02",), attempt) for attempt in (1, 2)] == ["transient", ""]
