"""What a step has said: its own lines only, under a heading for each attempt."""

from __future__ import annotations

from tests.unit.views.story import DOWN, T0, Story

from batchwright.model import events as ev
from batchwright.testing.plans import servers, taskservs
from batchwright.views.logs import LogLine, StepLog, log_text

STEP, OTHER = "cache/web-01/redis", "cache/web-02/redis"


def told() -> list[LogLine]:
    story = Story(servers("up", "web-01", "web-02"), taskservs("cache", "redis", after=["up"])).begin()
    story.start("up/web-01", "up/web-02", at=0).succeed("up/web-01", "up/web-02", at=5).start(STEP, OTHER, at=6)
    story.tell(ev.StepOutput(T0 + 7, STEP, 1, ("one", "two"))).tell(ev.StepOutput(T0 + 7, OTHER, 1, ("not mine",)))
    story.tell(ev.StepRetrying(T0 + 8, STEP, 1, T0 + 10, DOWN)).start(STEP, at=10)
    story.tell(ev.StepOutput(T0 + 11, STEP, 2, ("three",))).succeed(STEP, at=12)
    log = StepLog(STEP, T0)
    return [line for event in story.history for line in log.take(event)]


def test_lines_stand_under_their_attempt() -> None:
    assert [(line.attempt, line.heading, line.text.split(" (")[0]) for line in told()] == [
        (1, True, "started"),
        (1, False, "one"),
        (1, False, "two"),
        (1, True, "attempt 1 failed"),
        (2, True, "attempt 2 started"),
        (2, False, "three"),
        (2, True, "succeeded"),
    ]


def test_headings_tell_when_and_output_is_as_it_was() -> None:
    texts = [log_text(line) for line in told()]
    assert texts[0] == "-- +6.0 s started"
    assert texts[1:3] == ["one", "two"]
    assert {line.step for line in told()} == {STEP}


def test_what_an_undo_says_is_told_as_such() -> None:
    log = StepLog(STEP, T0)
    lines = [
        *log.take(ev.UndoStarted(T0 + 20, STEP, 1)),
        *log.take(ev.StepOutput(T0 + 21, STEP, 1, ("gone",), undo=True)),
        *log.take(ev.StepUndone(T0 + 22, STEP)),
    ]
    assert [(line.undo, log_text(line)) for line in lines] == [
        (True, "-- +20 s undo started"),
        (True, "gone"),
        (True, "-- +22 s undone"),
    ]
