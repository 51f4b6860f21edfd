"""Services that record, workers that drive, and processes that die, with PostgreSQL and Temporal."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from tests.support.fleet import RUNS, SIM, Fleet, ask, flow, until

from batchwright.app.server_settings import TemporalConfig
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
        run = ask(url, SUBMIT, flow("shop", 9))["run"]
        first = fleet.driver_of(run)
        until(url, run, "Running")
        fleet.kill(first)
        assert until(url, run, "Completed", "Failed")["status"] == "Completed"
        [second] = workers - {first}
        assert f"run {run} is Completed" in fleet.log(second)
        assert fleet.servers() == Counter(f"shop-{i:02d}" for i in range(9))
