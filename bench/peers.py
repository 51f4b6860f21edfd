"""Durable workflows of 1,000 steps that do nothing: ours beside peers, each in an environment of its own.

`python -m bench.peers` prints a table. What cannot be installed is named and left out. CPU is that of the process that
drives and, apart from it, of the server beside it. All are on the same cores and the same disk.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from msgspec import Struct
from tests.support.postgres_server import PostgresServer, new_folder
from tests.support.temporal_server import TemporalServer

STEPS, LIMIT = 1_000, 64
PROGRAMS = Path(__file__).parent / "peer_programs"
SECONDS = 600  # after which a peer is given up
TICKS = os.sysconf("SC_CLK_TCK")


class Peer(Struct, frozen=True):
    """A peer: its name, what is installed for it, its program, and where it keeps its state."""

    name: str
    packages: tuple[str, ...]
    program: str
    where: str


PEERS = (
    Peer("Temporal, one workflow", ("temporalio==1.35.0",), "temporal_workflow.py", "temporal"),
    Peer("DBOS, SQLite", ("dbos==3.4.0",), "dbos_steps.py", "sqlite"),
    Peer("DBOS, PostgreSQL", ("dbos==3.4.0", "psycopg[binary]==3.3.9"), "dbos_steps.py", "postgres"),
    Peer("Prefect, its local server", ("prefect==3.9.1",), "prefect_tasks.py", "prefect"),
)


def cpu_of(pid: int) -> float:
    """CPU seconds of a process and of its children, as far as they live."""
    total = 0.0
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total = sum(map(int, fields[11:15])) / TICKS
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            total += cpu_of(int(child))
    return total


@contextmanager
def state(peer: Peer, folder: Path) -> Iterator[tuple[str, int]]:
    """Where the peer keeps its state, and the server that has it, 0 if there is none."""
    if peer.where == "temporal":
        with TemporalServer(folder) as server:
            yield server.address, server.pid
    elif peer.where == "postgres":
        with PostgresServer(new_folder(in_memory=False)) as server:
            with server.connect() as connection:
                connection.execute("CREATE DATABASE peer")
            yield server.url("peer").replace("postgresql://", "postgresql+psycopg://"), server.pid
    else:
        yield f"sqlite:///{folder}/peer.db", 0


def measured(peer: Peer, folder: Path) -> dict[str, Any] | str:
    """What its program says, or why it could not be measured."""
    python = folder / "venv" / "bin" / "python"
    home = {"HOME": str(folder), "PREFECT_HOME": str(folder / "prefect"), "PREFECT_LOGGING_LEVEL": "ERROR"}
    try:
        subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True, capture_output=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *peer.packages]
        subprocess.run(install, check=True, capture_output=True, timeout=SECONDS)
    except (subprocess.SubprocessError, OSError):
        return "could not be installed"
    with state(peer, folder) as (place, server):
        before = cpu_of(server)
        command = [str(python), str(PROGRAMS / peer.program), str(STEPS), str(LIMIT), place]
        try:
            done = subprocess.run(
                command, check=True, capture_output=True, text=True, timeout=SECONDS, env={**os.environ, **home}
            )
        except subprocess.TimeoutExpired:
            return f"not done after {SECONDS} s"
        except subprocess.CalledProcessError as error:
            return f"failed: {error.stderr.strip().splitlines()[-1:]}"
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return {**found, "server": cpu_of(server) - before}


def ours(store: str) -> dict[str, Any]:
    """The same of this engine, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "bench.noop", "noop", str(STEPS), str(LIMIT), folder, store]
        found: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        return {"wall": found["wall"], "cpu": found["cpu"], "server": 0.0}


def row(name: str, got: dict[str, Any] | str) -> str:
    """A line of the table."""
    if isinstance(got, str):
        return f"| {name} | {got} | | |"
    server = f"{got['server'] / STEPS * 1e3:.2f}" if got["server"] else ""
    return f"| {name} | {STEPS / got['wall']:,.0f} | {got['cpu'] / STEPS * 1e3:.2f} | {server} |"


def table() -> list[str]:
    """All of it."""
    rows = ["| | durable steps/s | CPU ms/step | of its server |", "|--|--|--|--|"]
    rows += [row(f"batchwright, {store}", ours(store)) for store in ("filesystem", "surrealdb", "postgres")]
    for peer in PEERS:
        with tempfile.TemporaryDirectory(prefix="bwpeer-") as folder:
            rows.append(row(peer.name, measured(peer, Path(folder))))
    return rows


if __name__ == "__main__":
    print((__doc__ or "").partition("\n\n")[2])
    print("\n".join(table()))
