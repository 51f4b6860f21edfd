"""SIGKILL over an emulated cloud; what was survived is printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchwright.testing.provider_kill_suite import CrashSuite


class CloudCrashSuite(CrashSuite):
    """In a folder of the test's own."""

    @pytest.fixture(autouse=True)
    def _told(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = tmp_path, capsys

    def survives(self, seed: int, servers: int, forward: int, back: int, least: int) -> None:
        """See `killed`."""
        told = self.killed(self.folder, seed, servers, forward, back, least)
        with self.capsys.disabled():
            print(f"\n{told}")
