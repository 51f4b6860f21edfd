"""The static provider through the shipped suite, over real SSH servers on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from batchwright.app.system_clock import SystemClock
from batchwright.model.call_outcome import Created, Rejected, Unknown
from batchwright.model.clock import Clock
from batchwright.model.ids import Token
from batchwright.model.workflow import ServerConfig
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.base import Provider
from batchwright.providers.static import Static
from batchwright.testing.provider_suite import ProviderSuite
from tests.support.machines import Machine, Machines


class Losing(Static):
    """Carries creates out and does not answer."""

    async def create(self, request: ServerRequest, token: Token) -> Created | Rejected | Unknown:  # type: ignore[override]
        await super().create(request, token)
        return Unknown("the answer was lost")


class TestStatic(ProviderSuite):
    patience = 60.0
    shows_labels = False

    @pytest.fixture(autouse=True)
    def _machines(self, tmp_path: Path) -> Iterator[None]:
        self.folder = tmp_path / "state" / "static"
        self.machines, self.known = Machines(tmp_path), dict[str, Machine]()
        yield
        self.machines.close()

    def client(self) -> Provider:
        return Static("static", self.folder)

    def losing_client(self) -> Provider:
        return Losing("static", self.folder)

    def clock(self) -> Clock:
        return SystemClock()

    def config(self, name: str) -> ServerConfig:
        if name not in self.known:
            self.known[name] = self.machines.start()
        machine = self.known[name]
        return ServerConfig(name, options=machine.options(key=str(self.machines.key)))

    test_a_bad_plan_is_named_offline_and_not_resolved = None  # a static server has no plan
    test_rejected_means_that_nothing_is_made = None
