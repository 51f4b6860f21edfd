"""The adapter through the tests that every provider passes."""

from __future__ import annotations

from pathlib import Path

import pytest
from batchwright_skeleton import SkeletonProvider

from batchwright import Clock, Provider, ServerConfig
from batchwright.app.system_clock import SystemClock
from batchwright.testing.provider_suite import ProviderSuite


class TestSkeleton(ProviderSuite):
    patience = 10.0

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def client(self) -> Provider:
        return SkeletonProvider.connect("skeleton", self.clock(), {"state_dir": str(self.folder)})

    def clock(self) -> Clock:
        return SystemClock()

    def config(self, name: str) -> ServerConfig:
        return ServerConfig(name, plan="small", zone="here")

    def bad_config(self) -> ServerConfig:
        return ServerConfig("suite-bad", plan="huge", zone="here")
