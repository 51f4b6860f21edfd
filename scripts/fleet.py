"""A fleet on this machine: PostgreSQL, Temporal's development server, a service and two workers drive the example.

The worker that drives it is killed midway, the other goes on, and in the end everything is taken down.

    python scripts/fleet.py
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.command_line import COMMAND, environment  # noqa: E402
from tests.support.fleet import RUNS, Fleet, ask, until  # noqa: E402
from tests.support.postgres_server import PostgresServer  # noqa: E402
from tests.support.temporal_server import TemporalServer  # noqa: E402

from batchwright.app.backing_services import TemporalConfig  # noqa: E402

OVERLAY = '{ batch_workflow.storage_backend | force = "postgres" }\n'
WORKERS = ("worker-1", "worker-2")
ENOUGH = 3  # steps that succeed before a worker is killed
LOOKS = 6_000


def say(words: str) -> None:
    """Print a line of the story."""
    sys.stdout.write(f"\n== {words}\n")
    sys.stdout.flush()


def main() -> int:
    """Tell the story; 0 if the run completed."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="batchwright-fleet-")))
        say("PostgreSQL, which has the journal, and Temporal, which knows whose turn it is")
        postgres = stack.enter_context(PostgresServer())
        temporal = stack.enter_context(TemporalServer(folder))
        fleet = Fleet(folder, postgres.new_database(), TemporalConfig(temporal.address), stack)
        url = fleet.begin_service("service")
        for name in WORKERS:
            fleet.begin_worker(name, "--allow-commands")
        say(f"a service ({url}) and two workers; the example goes to the service, its clouds simulated")
        overlay = folder / "overlay.ncl"
        overlay.write_text(OVERLAY)
        home = folder / "client"
        home.mkdir()
        words = ["submit", str(ROOT / "workflows" / "example_batch.ncl"), "--overlay", str(overlay), "--simulate"]
        client = subprocess.Popen([*COMMAND, *words, "--watch", "--url", url], env=environment(home))
        try:
            _kill_the_driver(fleet, url)
            client.wait()
        finally:
            client.kill()
        [row] = ask(url, RUNS)["items"]
        end = until(url, row["run"], "Completed", "Failed", "RolledBack")
        say(f"{row['run']} is {end['status']}; its drivers were replaced {end['restarts']} time(s)")
        for name in WORKERS:
            sys.stdout.write(f"{name}:\n{fleet.log(name)}")
        say("everything is taken down")
    return int(end["status"] != "Completed")


def _kill_the_driver(fleet: Fleet, url: str) -> None:
    for _ in range(LOOKS):
        rows = ask(url, RUNS)["items"]
        if rows and rows[0]["succeeded"] >= ENOUGH:
            victim = fleet.driver_of(rows[0]["run"])
            fleet.kill(victim)
            say(f"{victim} drove it and was killed (SIGKILL)")
            return
        time.sleep(0.05)  # between two looks
    raise AssertionError("the run does not get on")


if __name__ == "__main__":
    sys.exit(main())
