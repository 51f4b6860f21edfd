"""Two stores, one account, one name: never are two servers of it in use, and none in use is destroyed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from batchwright.model.ids import step_token
from batchwright.testing.crash_points import CrashPoint, When
from tests.crash.contenders import NAME, RUNS, STEP, Contender, Contest, contest, random_contest
from tests.crash.scenarios import Settings
from tests.support.examples import share

SEEDS = st.integers(0, 2**32)


@settings(max_examples=share(200))
@given(SEEDS)
def test_without_deaths_exactly_one_store_gets_the_server(seed: int) -> None:
    words, contenders = random_contest(seed, deaths=False)
    ended = contest(words, contenders)
    ended.check()
    assert len(ended.uses) == len(ended.standing) == 1


@settings(max_examples=share(400))
@given(SEEDS)
def test_wherever_processes_die_no_two_stores_use_a_server_of_the_name(seed: int) -> None:
    words, contenders = random_contest(seed, deaths=True)
    contest(words, contenders).check()


def test_a_look_that_comes_too_early_would_be_seen_to_fail() -> None:
    """The properties above can fail: without looks, and with looks before servers are visible, they do."""
    assert any(_fails(seed, 0.0) for seed in range(3))
    assert any(_fails(seed, 0.3) for seed in range(20))


def _fails(seed: int, share_of_lag: float) -> bool:
    words, contenders = random_contest(seed, deaths=False)
    try:
        contest(words, contenders, share_of_lag).check()
    except AssertionError:
        return True
    return False


QUIET: Settings = {"seed": 1, "spread": 0, "list_lag": 2.0, "boot_seconds": 1.0}
BOTH = (Contender(), Contender(start=0.1))  # both have sent before either is listed


@pytest.mark.parametrize("who", [0, 1])
def test_a_contender_dies_before_and_after_every_call(who: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Before its clear look, after it, after it gave way, and anywhere else: one has the server, the other nothing."""
    calls = _calls(contest(QUIET, BOTH), who)
    for when in When:
        for n in range(1, calls + 1):
            point = CrashPoint(n, when)
            dies = replace(BOTH[who], deaths=(point,))
            ended = contest(QUIET, [dies if i == who else one for i, one in enumerate(BOTH)])
            ended.check()
            assert all(lives.ended for lives in ended.lives), point
            assert len(ended.uses) == len(ended.standing) == 1, point
    with capsys.disabled():
        print(f"\ncontender {who}: {2 * calls} crash points, one server in use")


def _calls(ended: Contest, who: int) -> int:
    """How many calls of ports an undisturbed contender makes."""
    ended.check()
    assert len(ended.created) >= 2
    assert [event.stale for event in ended.failures] == [True]
    return ended.lives[who].points[-1].count


@pytest.mark.parametrize("every", [9, pytest.param(1, marks=pytest.mark.long)])
def test_the_winners_server_never_becomes_ready(every: int, capsys: pytest.CaptureFixture[str]) -> None:
    """The one that stays is not usable: it is replaced, and its successor contends anew; the other gave way at once."""
    first = min(RUNS[:2], key=lambda run: step_token(run, STEP, 0))
    who = RUNS.index(first)
    broken = replace(BOTH[who], settings={"fail": f"{NAME}=never_ready:1"})
    both = [broken if i == who else one for i, one in enumerate(BOTH)]
    calls = _calls(contest(QUIET, both), who)
    points = [CrashPoint(n, when) for when in When for n in range(1, calls + 1, every)]
    for point in points:
        both[who] = replace(broken, deaths=(point,))
        ended = contest(QUIET, both)
        ended.check()
        assert all(lives.ended for lives in ended.lives), point
        assert len(ended.uses) == 1, point  # the other's, if this one died before it had sent anything
    with capsys.disabled():
        print(f"\nthe winner's server never becomes ready: {len(points)} crash points, one server in use")


def test_the_winner_goes_and_the_other_goes_on() -> None:
    """The winner fails for good and is rolled back; the other, resumed, gets a server under a new token."""
    first = min(RUNS[:2], key=lambda run: step_token(run, STEP, 0))
    who = RUNS.index(first)
    lost = replace(BOTH[who], settings={"fail": f"{NAME}=never_ready"}, rollback=True)
    both = [lost if i == who else replace(one, resumes=1000.0) for i, one in enumerate(BOTH)]
    ended = contest(QUIET, both)
    assert [use.server.run for use in ended.uses] == [RUNS[1 - who]]
    assert ended.uses[0].server.token == step_token(RUNS[1 - who], STEP, 1)
    assert [server.run for server in ended.standing] == [RUNS[1 - who]]


@pytest.mark.long
@settings(max_examples=10_000)
@given(SEEDS)
def test_wherever_processes_die_no_two_stores_use_a_server_of_the_name_long(seed: int) -> None:
    words, contenders = random_contest(seed, deaths=True)
    contest(words, contenders).check()
