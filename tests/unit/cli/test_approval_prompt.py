"""An answer that is typed on the terminal is given whole, or the question is asked again."""

from __future__ import annotations

from typing import Any, cast

import pytest

from batchwright.app.approvals import COMMENT_MAX, AnswerRequest
from batchwright.cli.approval_prompt import QuestionPrompt
from batchwright.client.base import Client
from batchwright.errors import StoreError
from batchwright.views.approvals import OpenQuestion
from batchwright.views.progress_update import ProgressUpdate


class Answers:
    """A client that keeps what it is given, and fails first where a test says so."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.given: list[AnswerRequest] = []

    def answer(self, _run: str, given: AnswerRequest) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.given.append(given)

    def cannot_answer(self, _one: OpenQuestion) -> str:
        return ""


class Update:
    """The first update of a run that asks."""

    def __init__(self, question: OpenQuestion) -> None:
        self.events: tuple[Any, ...] = ()
        self.view = type("View", (), {"asks": (question,)})


def question() -> OpenQuestion:
    open_ended = (0.0, 0.0, "fail", (), 1, "everybody", (), {}, (), 0)
    return OpenQuestion("r", "w", "1", False, "ok/ask", "Go on?", 1, "digest", *open_ended)


@pytest.mark.parametrize(
    ("failures", "comment"), [((StoreError("the disk is full"),), "well"), ((), "x" * (COMMENT_MAX + 1))]
)
def test_an_answer_that_was_not_taken_is_asked_for_again(failures: tuple[Exception, ...], comment: str) -> None:
    answers = Answers(*failures)
    prompt = QuestionPrompt(cast(Client, answers), "r", terminal=True)
    asked = cast(ProgressUpdate, Update(question()))
    prompt._old, prompt._began = set(), 0.0
    prompt._asks = asked.view.asks
    prompt._told, prompt._current, prompt.active = {("ok/ask", 1)}, question(), True
    assert not prompt.is_due(asked)
    prompt._line("y")
    prompt._line(comment)
    assert answers.given == []
    assert prompt.is_due(asked), "it is still open"
    prompt._told, prompt._current, prompt.active = {("ok/ask", 1)}, question(), True
    prompt._line("y")
    prompt._line("well")
    assert [(one.yes, one.comment) for one in answers.given] == [(True, "well")]
    assert not prompt.is_due(asked)
