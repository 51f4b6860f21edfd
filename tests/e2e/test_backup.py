"""A dump of the store that was taken while services wrote, restored: every chain holds, and the runs go on."""

from __future__ import annotations

import subprocess
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.e2e.test_two_services import SUBMIT, Services
from tests.support.command_line import Command
from tests.support.fleet import ask, flow, until
from tests.support.postgres_server import binary

from batchwright.journal.postgres import PostgresAddress


def client(name: str, *words: str) -> None:
    subprocess.run([binary(name), *words], check=True, capture_output=True)


@pytest.mark.long  # twice the life of some runs, and a closing sweep
def test_a_dump_that_was_taken_under_load_goes_on(postgres: PostgresAddress, tmp_path: Path) -> None:
    dump = tmp_path / "store.dump"
    with ExitStack() as stack:
        services = Services(tmp_path, postgres, stack)
        url = services.begin("one")
        runs = [ask(url, SUBMIT, flow(f"flow{n}", 12))["run"] for n in range(6)]
        for run in runs:
            until(url, run, "Running")
        client("pg_dump", "--format=custom", f"--file={dump}", postgres.url)
        services.kill("one")  # what was done since the dump is known to the clouds alone

        maintenance = postgres.url.replace(f"/{postgres.database}?", "/postgres?")
        name = postgres.database
        client("psql", maintenance, "--command", f'DROP DATABASE "{name}" WITH (FORCE)')
        client("psql", maintenance, "--command", f'CREATE DATABASE "{name}" TEMPLATE template0 ENCODING "UTF8"')
        client("pg_restore", "--exit-on-error", f"--dbname={postgres.url}", str(dump))

        typed = Command(tmp_path / "one", BATCHWRIGHT_POSTGRES_URL=postgres.url)
        typed.env["BATCHWRIGHT_STATE_DIR"] = str(tmp_path / "one" / "state")
        behind = typed("status", runs[0], code=None)
        assert behind.returncode != 0
        assert "acknowledged" in behind.stderr or "behind" in behind.stderr
        checked = typed("store", "check", "--accept-loss")
        assert "6 runs" in checked.stderr
        assert "0 runs with a problem" in checked.stderr

        url = services.begin("one")
        for run in runs:
            until(url, run, "Completed")
        assert services.servers() == Counter(f"flow{n}-{i:02d}" for n in range(6) for i in range(12))
    assert "0 runs with a problem" in typed("store", "check").stderr
