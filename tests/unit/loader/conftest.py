"""The two ways in which an evaluator's child process begins."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from batchwright.loader.evaluator_client import StartChild
from batchwright.loader.evaluator_forks import EvaluatorForks


@pytest.fixture(params=["started", "forked"])
def start(request: pytest.FixtureRequest) -> Iterator[StartChild | None]:
    """The child is started for itself, or forked from a process that has loaded the evaluator."""
    if request.param == "started":
        yield None
        return
    server = EvaluatorForks()
    yield server.fork
    server.close()
