"""The Hetzner adapter through the provider suite, over real sockets, against the emulated Hetzner."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from msgspec.structs import replace

from batchwright.app.system_clock import SystemClock
from batchwright.emulators.hetzner import HetznerBehaviour
from batchwright.model.clock import Clock
from batchwright.model.scalar import Scalar
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
    refusal: ClassVar[dict[str, float]] = {"quota_cores": 1}
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
        return Hetzner("hetzner", SystemClock(), self._settings(), self.running.environ)

    def _settings(self) -> dict[str, Scalar]:
        settings: dict[str, Scalar] = {"state_dir": str(self.state), "settle_seconds": self.settle}
        return {**settings, "poll_seconds": 0.05, "page": self.page}

    def _faulty(self, method: str, behaviour: dict[str, float]) -> Provider:
        """A client with which the project behaves otherwise after this call, until it is closed."""

        class Faulty(Hetzner):
            async def aclose(inner) -> None:  # noqa: N805
                self.running.emulator.account.behaviour = self.behaviour
                await super().aclose()

        faulty = Faulty("hetzner", SystemClock(), self._settings(), self.running.environ)
        real = getattr(faulty, method)

        async def and_then(*args: Any) -> Any:
            answer = await real(*args)
            self.running.emulator.account.behaviour = replace(self.behaviour, **behaviour)
            return answer

        setattr(faulty, method, and_then)
        return faulty

    def losing_client(self) -> Provider:
        """Answers are lost once the run's key is there; the one create of that test is the last."""
        return self._faulty("_key_name", {"lost_answers": 1.0})

    def change_losing_client(self) -> Provider:
        return self._faulty("open", {"lost_answers": 1.0})

    def refusing_client(self) -> Provider:
        return self._faulty("open", self.refusal)

    def other_plan(self) -> str:
        return "cx33"

    def labels(self, ref: str) -> dict[str, str]:
        return dict(self.running.emulator.account.one("servers", ref).asked["labels"])

    def label(self, ref: str, key: str, value: str) -> None:
        server = self.running.emulator.account.one("servers", ref)
        server.asked = {**server.asked, "labels": {**server.asked["labels"], key: value}}

    def disown(self, ref: str) -> Callable[[], None]:
        server = self.running.emulator.account.one("servers", ref)
        kept, server.asked = server.asked, {**server.asked, "labels": {}}
        return lambda: setattr(server, "asked", kept)

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


class TestChangesThatFailLater(HetznerSuite):
    """Another type is accepted, and its action fails while the server is off."""

    refusal: ClassVar = {"failed_resizes": 1.0}


class TestServersListedAfterTheirKey(HetznerSuite):
    """E2."""

    behaviour = HetznerBehaviour(time_scale=SCALE, lag_servers=30)
    settle = 0.6
