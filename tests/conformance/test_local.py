"""The local provider, with real sandboxes, through the suite that every provider runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchwright.app.system_clock import SystemClock
from batchwright.model.call_outcome import Created, Rejected, Unknown
from batchwright.model.ids import Token
from batchwright.model.workflow import ServerConfig
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.base import Provider
from batchwright.providers.local.adapter import Local
from batchwright.testing.provider_suite import ProviderSuite
from tests.support.sandboxes import need_sandboxes


class Losing(Local):
    """Its creates are carried out, and their answers lost."""

    async def create(self, request: ServerRequest, token: Token) -> Created | Rejected | Unknown:
        await super().create(request, token)
        return Unknown("lost")


class TestLocal(ProviderSuite):
    """Real servers of this machine."""

    patience = 120.0

    @pytest.fixture(autouse=True)
    def _machine(self, tmp_path: Path) -> None:
        need_sandboxes()
        self.state_dir = tmp_path / "state"

    def client(self) -> Provider:
        return Local.connect("local", self.clock(), {"state_dir": str(self.state_dir)})

    def clock(self) -> SystemClock:
        return SystemClock()

    def config(self, name: str) -> ServerConfig:
        return ServerConfig(name, "1xCPU-256MB", "here")

    def losing_client(self) -> Provider:
        losing = Losing.connect("local", self.clock(), {"state_dir": str(self.state_dir)})
        assert isinstance(losing, Losing)
        return losing

    def bad_config(self) -> ServerConfig | None:
        return ServerConfig("suite-bad", "1xCPU-2 crates", "here")
