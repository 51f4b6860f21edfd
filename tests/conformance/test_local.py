"""The local provider, with real sandboxes, through the suite that every provider runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchwright.app.clock import SystemClock
from batchwright.model.workflow import ServerConfig
from batchwright.providers.base import Provider
from batchwright.providers.local.adapter import Local
from batchwright.testing.provider_suite import ProviderSuite
from tests.sandboxes import need_sandboxes


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

    def bad_config(self) -> ServerConfig | None:
        return ServerConfig("suite-bad", "1xCPU-2 crates", "here")
