"""Services that record, workers that drive, and processes that die, with PostgreSQL and Temporal."""

from __future__ import annotations

import signal
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.support.fleet import LOOKS, RUNS, SIM, Fleet, ask, flow, until
from tests.support.temporal_server import TemporalServer

from batchwright.app.backing_services import TemporalConfig
from batchwright.journal.postgres import PostgresAddress

SUBMIT = f"{RUNS}/submit?simulate=true" + "".join(f"&sim={key}={value}" for key, value in SIM.items())


def test_a_run_goes_on_at_another_worker_when_its_own_is_killed(
    postgres: PostgresAddress, temporal: TemporalConfig, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        fleet = Fleet(tmp_path, postgres, temporal, stack)
        url = fleet.begin_service("one")
        workers = {"worker-1", "worker-2"}
        for name in workers:
            fleet.begin_worker(name)
        run = ask(url, SUBMIT, held("shop", 9))["run"]
        first = fleet.driver_of(run)
        until(url, run, "Running")
        fleet.kill(first)
        assert {fleet.driver_of(run)} == workers - {first}
        approve(url, run)
        assert until(url, run, "Completed", "Failed")["status"] == "Completed"
        assert fleet.servers() == Counter(f"shop-{i:02d}" for i in range(9))


def test_what_is_submitted_while_temporal_is_away_is_driven_when_it_is_back(
    postgres: PostgresAddress, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        temporal = TemporalServer(tmp_path)
        stack.callback(temporal.kill)
        fleet = Fleet(tmp_path, postgres, TemporalConfig(temporal.address), stack)
        url = fleet.begin_service("one")
        run = ask(url, SUBMIT, held("shop", 9))["run"]
        assert "does not answer" in stalled(url, run)
        temporal.start()
        assert "no worker takes runs" in stalled(url, run, "no worker")
        fleet.begin_worker("worker-1")
        until(url, run, "Running")
        temporal.kill()
        temporal.start()
        fleet.kill("worker-1", signal.SIGTERM)  # gives the run back
        fleet.begin_worker("worker-2")
        assert fleet.driver_of(run) == "worker-2"
        approve(url, run)
        assert until(url, run, "Completed", "Failed")["status"] == "Completed"
        assert fleet.servers() == Counter(f"shop-{i:02d}" for i in range(9))


def held(name: str, count: int) -> dict[str, Any]:
    """A workflow that does not end before somebody has answered."""
    definition = flow(name, count)
    operations = definition["batch_workflow"]["operations"]
    operations.append({"id": "ok", "type": "approval", "ask": "Is that all?"})
    return definition


def approve(url: str, run: str) -> None:
    """Answer its question, at a service that does not drive it."""
    [question] = ask(url, f"/v1/approvals?run={run}")["items"]
    ask(url, f"{RUNS}/{run}/approve?hash={question['hash']}&ask={question['ask']}", {})


def stalled(url: str, run: str, words: str = "") -> str:
    """Why the service says that a run does not move."""
    for _ in range(LOOKS):
        for one in ask(url, "/health")["still"]:
            if one["run"] == run and words in one["reason"]:
                return str(one["reason"])
        time.sleep(0.05)  # between two looks
    raise AssertionError(f"nothing is said about {run}")
