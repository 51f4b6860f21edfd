"""The real runner keeps the promises of its port, on a real server over SSH.

What it installs here is an entry of a file and a service, which takes a second; tests/real does it with packages.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from batchwright.app.system_clock import SystemClock
from batchwright.operations.taskserv_batch import TaskservRequest
from batchwright.taskservs.base import Runner, Target
from batchwright.taskservs.catalogue import Catalogue, read_entry
from batchwright.taskservs.runner import pyinfra_runner
from batchwright.taskservs.runner.ssh_connection import connected
from batchwright.testing.runner_suite import RunnerSuite, Scenario
from tests.real.servers import standing
from tests.support.sandboxes import need_sandboxes
from tests.support.shared_fork_server import fork_server

METADATA = """\
name: beacon
version: "1"
summary: Runs, and does nothing
seconds: 1
check:
  - { name: unit, retries: 0, run: systemctl is-active beacon }
"""
DEPLOY = """\
from io import StringIO
from pyinfra.operations import files, systemd

UNIT = "[Service]\\nExecStart=/bin/sleep infinity\\n"

def install(v):
    files.put(name="write the unit", src=StringIO(UNIT), dest="/etc/systemd/system/beacon.service")
    systemd.service(name="start it", service="beacon", running=True)

def remove(v):
    systemd.service(name="stop it", service="beacon", running=False)
    files.file(name="remove the unit", path="/etc/systemd/system/beacon.service", present=False)
"""


def no_secrets(secret: object) -> str:
    raise AssertionError(f"nothing here has a secret, and {secret} is asked for")


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    need_sandboxes()
    with standing(tmp_path_factory.mktemp("servers"), "one") as (target,):
        yield target


@pytest.mark.xdist_group("pyinfra")
class TestPyinfraRunner(RunnerSuite):
    taskserv = TaskservRequest("beacon", "1", "default")

    @pytest.fixture(autouse=True)
    def _at(self, target: Target, tmp_path: Path) -> None:
        self.target, entry = target, tmp_path / "beacon"
        entry.mkdir()
        (entry / "taskserv.yaml").write_text(METADATA)
        (entry / "deploy.py").write_text(DEPLOY)
        self.catalogue = Catalogue()
        self.catalogue.add(read_entry(entry), entry)

    def play(self, scenario: Scenario) -> None:
        """On one server for all, from which each removes what it has installed."""
        runner = pyinfra_runner(self.catalogue, self.catalogue.folders, no_secrets, SystemClock(), fork_server())

        async def main() -> None:
            try:
                await scenario(runner, self.target)
            finally:
                if await runner.installed(self.target):
                    await runner.remove(self.taskserv, self.target)

        self.drive(main())

    async def spoil(self, _runner: Runner, target: Target) -> None:
        assert target.access is not None
        async with connected(target.access) as connection:
            assert (await connection.script("systemctl stop beacon", 60)).code == 0
