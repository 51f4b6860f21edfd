"""The UpCloud adapter through the provider suite, over real sockets, against the emulated UpCloud."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest
from msgspec.structs import replace

from batchwright.app.system_clock import SystemClock
from batchwright.emulators.upcloud import UpCloudBehaviour
from batchwright.model.clock import Clock
from batchwright.model.scalar import Scalar
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
        return UpCloud("upcloud", SystemClock(), self._settings(), self.running.environ)

    def _settings(self) -> dict[str, Scalar]:
        settings: dict[str, Scalar] = {"state_dir": str(self.state), "settle_seconds": self.settle}
        return {**settings, "poll_seconds": 0.05, "page": self.page}

    def losing_client(self) -> Provider:
        """Answers are lost from here on; the one create of that test is the last."""
        self.running.emulator.account.behaviour = replace(self.behaviour, lost_answers=1.0)
        return self.client()

    def other_plan(self) -> str:
        return "2xCPU-4GB"

    def change_losing_client(self) -> Provider:
        return self._faulty(lost_answers=1.0)

    def refusing_client(self) -> Provider:
        """The account has no core to spare."""
        return self._faulty(cores=1)

    def _faulty(self, **behaviour: float) -> Provider:
        """A client with which the account behaves otherwise, as long as it is open."""

        class Faulty(UpCloud):
            async def open(inner) -> None:  # noqa: N805
                await super().open()
                account.behaviour = replace(account.behaviour, **behaviour)

            async def aclose(inner) -> None:  # noqa: N805
                account.behaviour = self.behaviour
                await super().aclose()

        account = self.running.emulator.account
        return Faulty("upcloud", SystemClock(), self._settings(), self.running.environ)

    def labels(self, ref: str) -> dict[str, str]:
        return {one["key"]: one["value"] for one in self.running.emulator.account.all_servers[ref].labels}

    def label(self, ref: str, key: str, value: str) -> None:
        labels = self.running.emulator.account.all_servers[ref].labels
        labels[:] = [*(one for one in labels if one["key"] != key), {"key": key, "value": value}]

    def disown(self, ref: str) -> Callable[[], None]:
        server = self.running.emulator.account.all_servers[ref]
        kept, server.labels = server.labels, []
        return lambda: setattr(server, "labels", kept)

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
