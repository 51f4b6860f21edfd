"""The real runner keeps the promises of its port, on real servers over SSH."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchwright.app.system_clock import SystemClock
from batchwright.operations.taskserv_batch import TaskservRequest
from batchwright.taskservs.base import Runner, Target
from batchwright.taskservs.catalogue import load_catalogue
from batchwright.taskservs.runner import pyinfra_runner
from batchwright.taskservs.runner.asyncssh_connection import connected
from batchwright.testing.runner_suite import RunnerSuite, Scenario
from tests.real.servers import servers
from tests.support.sandboxes import need_sandboxes

CATALOGUE = load_catalogue()
REDIS = CATALOGUE["redis"]


def no_secrets(secret: object) -> str:
    raise AssertionError(f"nothing here has a secret, and {secret} is asked for")


def runner() -> Runner:
    return pyinfra_runner(CATALOGUE, CATALOGUE.folders, no_secrets, SystemClock())


class TestPyinfraRunner(RunnerSuite):
    taskserv = TaskservRequest("redis", REDIS.version, "default", dict(REDIS.defaults("local")))

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        need_sandboxes()
        self.folder = tmp_path

    def play(self, scenario: Scenario) -> None:
        async def main() -> None:
            async with servers(self.folder, "one") as (target,):
                await scenario(runner(), target)

        self.drive(main())

    async def spoil(self, _runner: Runner, target: Target) -> None:
        assert target.access is not None
        async with connected(target.access) as connection:
            assert (await connection.script("systemctl stop redis-server", 60)).code == 0
