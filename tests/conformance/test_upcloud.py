"""The UpCloud adapter through the provider suite, over real sockets, against the emulated UpCloud."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest
from msgspec.structs import replace

from batchwright.app.system_clock import SystemClock
from batchwright.emulators.upcloud import UpCloudBehaviour
from batchwright.model.clock import Clock
from batchwright.model.workflow import ServerConfig
from batchwright.providers.base import Provider
from batchwright.providers.upcloud import UpCloud
from batchwright.testing.provider_suite import ProviderSuite
from tests.support.emulated import Running

SCALE = 0.004  # a server takes some 0.14 s to boot


class UpCloudSuite(ProviderSuite):
    behaviour: ClassVar[UpCloudBehaviour] = UpCloudBehaviour(time_scale=SCALE)
    settle: ClassVar[float] = 0.2
    page: ClassVar[int] = 100
    patience = 60.0

    @pytest.fixture(autouse=True)
    def _emulator(self, tmp_path: Path):  # type: ignore[no-untyped-def]
        self.state = tmp_path / "state"
        with Running(self.behaviour) as self.running:
            yield
            left = self.running.emulator.account.summary()
            foreign = set(self.foreign())
            disks = [one for one in left["disks"] if one["uuid"] not in foreign]
            addresses = [one for one in left["addresses"] if one["address"] not in foreign]
            assert (left["servers"], disks, addresses) == ([], [], [])

    def attach(self, ref: str) -> set[str]:
        account = self.running.emulator.account
        server = account.all_servers[ref]
        disk, backup = account.new_disk("data", "de-fra1"), account.backup(server.disks[0], "before the change")
        account.attach(server, disk)
        self.hung = {disk.uuid, backup.uuid, account.new_address(server, floating=True).address}
        return self.hung

    def foreign(self) -> set[str]:
        account = self.running.emulator.account
        there = {one.uuid for one in account.disks()} | {one.address for one in account.addresses()}
        return there & getattr(self, "hung", set())

    def client(self) -> Provider:
        settings = {"state_dir": str(self.state), "settle_seconds": self.settle, "poll_seconds": 0.05}
        return UpCloud("upcloud", SystemClock(), {**settings, "page": self.page}, self.running.environ)

    def losing_client(self) -> Provider:
        """Answers are lost from here on; the one create of that test is the last."""
        self.running.emulator.account.behaviour = replace(self.behaviour, lost_answers=1.0)
        return self.client()

    def clock(self) -> Clock:
        return SystemClock()

    def config(self, name: str) -> ServerConfig:
        return ServerConfig(name, "1xCPU-2GB", "de-fra1")

    def bad_config(self) -> ServerConfig | None:
        return ServerConfig("suite-bad", "1xCPU-2TB", "de-fra1")


class TestHealthy(UpCloudSuite):
    """As it is without any fault."""


class TestSmallPages(UpCloudSuite):
    """Twelve servers are five pages; and new things are listed late, but within the settle time."""

    behaviour = UpCloudBehaviour(time_scale=SCALE, list_lag=50)
    settle = 0.6
    page = 3


class TestWhatStays(UpCloudSuite):
    """Every public address has the policy keep, and disks outlive their servers: destroyed all the same."""

    behaviour = UpCloudBehaviour(time_scale=SCALE, keep_addresses=1.0)


class TestServersListedAfterTheirDisks(UpCloudSuite):
    """E2."""

    behaviour = UpCloudBehaviour(time_scale=SCALE, lag_servers=50)
    settle = 0.6


class TestDisksListedAfterTheirServers(UpCloudSuite):
    """E2."""

    behaviour = UpCloudBehaviour(time_scale=SCALE, lag_disks=50)
    settle = 0.6
