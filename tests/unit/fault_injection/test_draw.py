"""Draws of faults: the same for the same seed, one fault for a call, as often as the chances say."""

from __future__ import annotations

from batchwright.fault_injection.draw import Draw, draw, lognormal
from batchwright.fault_injection.fault_names import CALL_FAULTS, CREATE_FAULTS, SERVER_FAULTS
from batchwright.fault_injection.settings import FaultSettings

CREATE = (*CREATE_FAULTS, *SERVER_FAULTS)


def many(settings: FaultSettings, words: tuple[str, ...] = CREATE) -> list[Draw]:
    return [draw(settings, words, f"1/create/web-{n}/1") for n in range(2000)]


def test_a_draw_follows_from_its_seed_alone() -> None:
    settings = FaultSettings(transient=0.3, lost_answers=0.3, broken=0.5)
    assert many(settings) == many(settings)
    assert draw(settings, CREATE, "a").seed == "a"
    assert {one.fault for one in many(settings)} == {"", "transient", "lost_answers"}


def test_a_call_meets_one_fault_and_what_it_makes_any_number() -> None:
    drawn = draw(FaultSettings(**dict.fromkeys(CREATE, 1.0)), CREATE, "seed")
    assert (drawn.fault, drawn.acts) == ("throttle", False)
    lost = draw(FaultSettings(lost_answers=1, never_ready=1, broken=1), CREATE, "seed")
    assert (lost.fault, lost.acts, lost.server) == ("lost_answers", True, {"never_ready", "broken"})


def test_only_the_words_of_the_call_are_drawn() -> None:
    everything = FaultSettings(late_commits=1, never_ready=1, read_errors=1)
    assert draw(everything, CALL_FAULTS, "seed") == Draw("seed")


def test_chances_come_about_as_often_as_they_say() -> None:
    met = many(FaultSettings(lost_answers=0.25, broken=0.1))
    assert 440 < sum(one.fault == "lost_answers" for one in met) < 560
    assert 150 < sum("broken" in one.server for one in met) < 250


def test_half_of_what_a_gateway_answers_is_carried_out() -> None:
    met = many(FaultSettings(bad_gateway=1))
    assert {one.fault for one in met} == {"bad_gateway"}
    assert 900 < sum(one.acts for one in met) < 1100


def test_a_late_commit_comes_within_its_bounds_scaled() -> None:
    late = [one.late for one in many(FaultSettings(late_commits=1, late_min=10, late_max=20, time_scale=0.1))]
    assert 1 <= min(late) < 1.1 < 1.9 < max(late) <= 2


def test_a_script_takes_the_place_of_chances() -> None:
    settings = FaultSettings(throttle=1, broken=1)
    assert draw(settings, CREATE, "seed", "capacity") == Draw("seed", "capacity", acts=False)
    assert draw(settings, CREATE, "seed", "never_ready") == Draw("seed", server=frozenset({"never_ready"}))


def test_durations_have_their_median_and_their_bounds() -> None:
    drawn = sorted(lognormal(30, 0.5, f"{n}/boot", 0.5, 2.0) for n in range(1001))
    assert 27 < drawn[500] < 33
    assert (drawn[0], drawn[-1]) == (15, 60)
    assert lognormal(30, 0, "seed") == 30
