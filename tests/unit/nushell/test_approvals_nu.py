"""core/nulib/workflows/approvals.nu in the real nu."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.fake_service import FakeService, fake_service
from tests.support.nushell import Nu
from tests.unit.views.story import T0, fleet
from tests.unit.views.test_approvals_view import asking

from batchwright.model.plan import Hold
from batchwright.views.approvals import open_questions
from batchwright.views.run import run_view

RUNS, RUN = "/v1/workflows/batch", "abcdefghijkl"


@pytest.fixture
def service() -> Iterator[FakeService]:
    with fake_service() as fake:
        yield fake


def test_a_question_is_shown_and_answered_as_it_was_shown(service: FakeService, tmp_path: Path) -> None:
    nu = Nu(tmp_path, service.url)
    questions = open_questions(asking(Hold()).run)
    service.on("GET", "/v1/approvals", {"items": questions})
    assert nu.value("batch approvals | select step question counts") == [
        {"step": "ok/ask", "question": "Go on?", "counts": {"create": 2}}
    ]
    view = run_view(fleet().begin().run, T0)
    service.on("GET", f"{RUNS}/run", view)
    service.on("POST", f"{RUNS}/{RUN}/refuse", view)
    assert nu.value("batch refuse shop --comment 'not today'")["id"] == RUN
    assert service.asked[-1].query == [
        ("step", "ok/ask"),
        ("hash", questions[0].hash),
        ("ask", "1"),
        ("comment", "not today"),
    ]
    service.on("GET", "/v1/approvals", {"items": []})
    assert "approval-late" in nu.refused("batch approve shop")
