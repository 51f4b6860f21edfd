"""Progress in a pipe: every step of a small run, sums of a big one, failures always."""

from __future__ import annotations

from tests.unit.views.story import T0, Story, fleet

from batchwright.cli.progress_display import Plain
from batchwright.testing.plans import servers
from batchwright.views.progress_update import ProgressUpdate
from batchwright.views.run import LIVE, RunView, run_view
from batchwright.views.wait_reasons import Circumstances


def seen(view: RunView) -> ProgressUpdate:
    return ProgressUpdate(lambda: view)


def test_a_small_run_is_told_step_by_step() -> None:
    story = fleet().begin().start("web/a", at=0).retry("web/a", at=1, until=3).start("web/a", at=3)
    story.succeed("web/a", at=62)
    written: list[str] = []
    Plain(7, written.append).take(story.history, T0)
    assert written == [
        "        0 s  run started",
        "        0 s  web/a: started",
        "      1.0 s  web/a: attempt 1 failed (transient: the service is not available [503]): again in 2.0 s",
        "      3.0 s  web/a: attempt 2 started",
        " 1 min 02 s  web/a: succeeded (ref-a, 10.0.0.1)",
    ]


def big() -> Story:
    names = [f"s{i:03}" for i in range(200)]
    return Story(servers("web", *names), parallel_limit=200).begin().start(*(f"web/{name}" for name in names), at=0)


def test_a_big_run_tells_failures_but_not_each_step() -> None:
    story = big()
    for i in range(50):
        story.succeed(f"web/s{i:03}", at=1)
    for i in range(50, 60):
        story.fail(f"web/s{i:03}", at=2)
    written: list[str] = []
    Plain(200, written.append).take(story.history, T0)
    assert written == [
        "        0 s  run started",
        "      2.0 s  web/s050: failed after 1 attempt: invalid: no such plan",
        "      2.0 s  web/s051: failed after 1 attempt: invalid: no such plan",
        "      2.0 s  and 8 more like it",
    ]


def test_skips_of_a_big_run_are_told_by_their_reason() -> None:
    story = Story(servers("web", "a"), servers("late", *(f"s{i}" for i in range(99)), after=["web"])).begin()
    for i in range(99):
        story.skip(f"late/s{i}", 1, "operation web did not succeed", "web")
    written: list[str] = []
    Plain(100, written.append).take(story.history, T0)
    assert written[-2:] == [
        "      1.0 s  late/s1: skipped: operation web did not succeed",
        "      1.0 s  and 97 more like it",
    ]


def test_lines_of_progress_are_rare() -> None:
    story = big()
    written: list[str] = []
    plain = Plain(200, written.append)
    for i in range(200):  # one step every 0.1 s
        story.succeed(f"web/s{i:03}", at=i / 10)
        plain.progress(seen(run_view(story.run, T0 + i / 10, bounds=LIVE)), T0 + i / 10)
    assert 10 <= len(written) <= 20  # at most one per 5 %
    assert written[0].lstrip().startswith("0 s  1 of 200 steps done, 199 in flight, about ")


def test_slow_progress_is_told_too_but_never_twice() -> None:
    story = big()
    written: list[str] = []
    plain = Plain(200, written.append)
    for second in (0, 10, 20):
        plain.progress(seen(run_view(story.run, T0 + second)), T0 + second)
    assert written == []  # nothing has moved
    story.succeed("web/s000", at=25)
    for second in (25, 40, 80):
        plain.progress(seen(run_view(story.run, T0 + second)), T0 + second)
    assert len(written) == 1
    story.succeed("web/s001", at=81)
    plain.progress(seen(run_view(story.run, T0 + 81)), T0 + 81)
    assert len(written) == 2


def test_a_small_run_needs_no_sums() -> None:
    written: list[str] = []
    plain = Plain(7, written.append)

    def unneeded() -> RunView:
        raise AssertionError("a view was computed")

    for second in (0, 50):
        plain.progress(ProgressUpdate(unneeded), T0 + second)
    assert written == []


def test_a_minute_of_silence_is_broken_with_what_it_waits_for() -> None:
    written: list[str] = []
    plain, story = Plain(7, written.append), fleet().begin().start("web/a", at=0)
    around = Circumstances(unheard={"upcloud": "has not answered for 58 s: OSError: no route"})
    for second in range(0, 200, 5):
        plain.progress(seen(run_view(story.run, T0 + second, around=around)), T0 + second)
    assert len(written) == 3
    assert "1 in flight, upcloud has not answered for 58 s: OSError: no route" in written[0]
