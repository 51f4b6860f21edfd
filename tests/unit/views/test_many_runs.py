"""Lists and statistics over many runs; words for durations."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from batchwright.errors import UsageError
from batchwright.model.lifecycle import RunState
from batchwright.model.run_summary import RunSummary
from batchwright.views.run_list import listing, matching, state_named
from batchwright.views.stats_over_runs import stats_view
from batchwright.views.text_format import counted, counted_of, duration, one_line, some

R = RunState


def summary(run: str, status: RunState, created: float, **rest: Any) -> RunSummary:
    return RunSummary(run, rest.pop("workflow", "shop"), "1.0.0", status, "filesystem", created, **rest)


ROWS = [
    summary("aaa", R.COMPLETED, 100, started_at=100, ended_at=110, steps=4, succeeded=4),
    summary("bbb", R.FAILED, 200, started_at=200, ended_at=205, steps=4, succeeded=1, failed=2, skipped=1, retries=3),
    summary("ccc", R.RUNNING, 300, started_at=300, updated_at=320, steps=4, workflow="Database"),
    summary("ddd", R.COMPLETED, 400, started_at=400, ended_at=430, steps=4, succeeded=4, throttles=2, restarts=1),
]


def test_newest_first_with_elapsed() -> None:
    shown = listing(ROWS, {"ccc"}, 500.0)
    assert [(row.run, row.elapsed, row.driven) for row in shown.runs] == [
        ("ddd", 30.0, False),
        ("ccc", 200.0, True),
        ("bbb", 5.0, False),
        ("aaa", 10.0, False),
    ]
    assert listing(ROWS, (), 500.0).runs[1].elapsed == 20.0  # no process drives it: until its last event


def test_filters_and_limit() -> None:
    assert [row.run for row in matching(ROWS, [R.COMPLETED], "")] == ["aaa", "ddd"]
    assert [row.run for row in matching(ROWS, (), "data")] == ["ccc"]
    limited = listing(ROWS, (), 0.0, limit=1)
    assert ([row.run for row in limited.runs], limited.more) == (["ddd"], 3)


@pytest.mark.parametrize(
    "word", ["RollbackIncomplete", "rollbackincomplete", "ROLLBACK_INCOMPLETE", "rollback-incomplete"]
)
def test_a_state_is_named_in_any_case(word: str) -> None:
    assert state_named(word) is R.ROLLBACK_INCOMPLETE


def test_an_unknown_state_lists_the_known() -> None:
    with pytest.raises(UsageError, match="there is no status 'runing'") as found:
        state_named("runing")
    assert found.value.hint.startswith("Did you mean Running? The states are: Pending, Running, ")


def test_a_rollback_that_was_wanted_does_not_lower_the_rate() -> None:
    """C12: one after a failure does."""
    wanted = msgspec.structs.replace(ROWS[0], status=RunState.ROLLED_BACK, failed=0, skipped=0, undone=4)
    assert stats_view([*ROWS, wanted]).success_rate == stats_view(ROWS).success_rate
    failed = msgspec.structs.replace(wanted, failed=1)
    assert stats_view([*ROWS, failed]).success_rate == pytest.approx(2 / 4)
    assert stats_view([wanted]).success_rate is None


def test_statistics() -> None:
    stats = stats_view(ROWS)
    assert stats.by_status == {"Running": 1, "Completed": 2, "Failed": 1}
    assert stats.success_rate == pytest.approx(2 / 3)
    assert (stats.p50, stats.p95) == (10.0, 30.0)
    assert (stats.runs, stats.steps, stats.succeeded, stats.failed, stats.skipped) == (4, 16, 9, 2, 1)
    assert (stats.retries, stats.throttles, stats.restarts) == (3, 2, 1)


def test_steps_that_are_not_wanted_are_not_among_the_steps() -> None:
    """As `status` counts: a run in which a condition left two of four out has done two of two."""
    row = msgspec.structs.replace(ROWS[0], succeeded=2, not_wanted=2)
    (line,) = listing([row], (), 500.0).runs
    assert (line.steps, line.succeeded, line.not_wanted) == (2, 2, 2)
    stats = stats_view([row])
    assert (stats.steps, stats.succeeded, stats.not_wanted) == (2, 2, 2)


def test_statistics_of_a_window_and_of_nothing() -> None:
    assert stats_view(ROWS, since=250).runs == 2
    nothing = stats_view([])
    assert (nothing.runs, nothing.success_rate, nothing.p50, nothing.p95, nothing.by_status) == (
        0,
        None,
        None,
        None,
        {},
    )


def test_statistics_per_provider() -> None:
    counts = {"steps": 4, "succeeded": 3, "failed": 1, "retries": 2, "throttles": 5}
    rows = [summary(run, R.FAILED, 1, providers={"aws": counts}) for run in ("a", "b")]
    (aws,) = stats_view(rows).providers
    assert (aws.name, aws.steps, aws.succeeded, aws.failed, aws.retries, aws.throttles) == ("aws", 8, 6, 2, 4, 10)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "0 s"),
        (0.04, "0 s"),
        (0.44, "0.4 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h 00 min"),
        (172_800, "2 d 00 h"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_words() -> None:
    assert [counted(1, "step"), counted(1200, "step"), counted(2, "retry")] == ["1 step", "1,200 steps", "2 retries"]
    assert [counted(0, "crash"), counted_of(1, "lines of its log"), counted_of(2, "lines of its log")] == [
        "0 crashes",
        "1 line of its log",
        "2 lines of its log",
    ]
    assert counted_of(1, "destroys or replacements") == "1 destroy or replacement"
    assert [some(["a"]), some(["a", "b"]), some(["a", "b", "c"], 2), some([])] == [
        "a",
        "a and b",
        "a, b and 1 more",
        "",
    ]
    assert one_line("a\n b") == "a b"
