"""The Hetzner adapter through the provider suite, over real sockets, against the emulated Hetzner."""

from __future__ import annotations

from typing import ClassVar

import pytest
from msgspec.structs import replace

from batchwright.app.system_clock import SystemClock
from batchwright.emulators.hetzner import HetznerBehaviour
from batchwright.model.clock import Clock
from batchwright.model.workflow import ServerConfig
from batchwright.providers.base import Provider
from batchwright.providers.hetzner import Hetzner
from batchwright.testing.provider_suite import ProviderSuite
from tests.support.emulated import RunningHetzner

SCALE = 0.01  # a server takes 0.12 s to boot


class HetznerSuite(ProviderSuite):
    behaviour: ClassVar[HetznerBehaviour] = HetznerBehaviour(time_scale=SCALE)
    settle: ClassVar[float] = 0.2
    page: ClassVar[int] = 50
    patience = 60.0

    @pytest.fixture(autouse=True)
    def _emulator(self, tmp_path):  # type: ignore[no-untyped-def]
        self.state = tmp_path / "state"
        with RunningHetzner(self.behaviour) as self.running:
            yield
            left = self.running.emulator.account.summary()
            assert (left["servers"], left["ssh_keys"]) == ([], [])

    def attach(self, ref: str) -> set[str]:
        account = self.running.emulator.account
        server = account.one("servers", ref)
        volume, address = account.attach_volume(server), account.assign_address(server)
        return {str(volume.id), address.ip}

    def foreign(self) -> set[str]:
        account = self.running.emulator.account
        return {str(number) for number in account.volumes} | {one.ip for one in account.primary_ips.values()}

    def client(self) -> Provider:
        settings = {"state_dir": str(self.state), "settle_seconds": self.settle, "poll_seconds": 0.05}
        return Hetzner("hetzner", SystemClock(), {**settings, "page": self.page}, self.running.environ)

    def losing_client(self) -> Provider:
        """Answers are lost once the run's key is there; the one create of that test is the last."""

        class Losing(Hetzner):
            async def _key_missing(inner, run: str, public: str):  # type: ignore[no-untyped-def] # noqa: N805
                fault = await super()._key_missing(run, public)
                self.running.emulator.account.behaviour = replace(self.behaviour, lost_answers=1.0)
                return fault

            async def aclose(inner) -> None:  # noqa: N805
                self.running.emulator.account.behaviour = self.behaviour
                await super().aclose()

        settings = {"state_dir": str(self.state), "settle_seconds": self.settle}
        return Losing("hetzner", SystemClock(), settings, self.running.environ)

    def clock(self) -> Clock:
        return SystemClock()

    def config(self, name: str) -> ServerConfig:
        return ServerConfig(name, "cx23", "fsn1")

    def bad_config(self) -> ServerConfig | None:
        return ServerConfig("suite-bad", "2xCPU-4GB", "fsn1")


class TestHealthy(HetznerSuite):
    """As it is without any fault."""


class TestSmallPagesAndLag(HetznerSuite):
    """Twelve servers are four pages; and new things are listed late, but within the settle time."""

    behaviour = HetznerBehaviour(time_scale=SCALE, list_lag=30)
    settle = 0.6
    page = 3


class TestServersListedAfterTheirKey(HetznerSuite):
    """E2."""

    behaviour = HetznerBehaviour(time_scale=SCALE, lag_servers=30)
    settle = 0.6
