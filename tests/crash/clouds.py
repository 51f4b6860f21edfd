"""SIGKILL over an emulated cloud; what was survived is printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchwright.testing.provider_kill_suite import CrashSuite
from tests.crash.year import Place, Year
from tests.support.command_line import Command


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

    def changes(self, seed: int, servers: int, forward: int, back: int) -> None:
        """See `changed`."""
        told = self.changed(self.folder, seed, servers, forward, back)
        with self.capsys.disabled():
            print(f"\n{told}")

    @pytest.mark.long
    def test_an_environment_over_300_changes(self) -> None:
        with self._rented(self.folder, 5, self.batches("unused", 2)) as (url, _):
            config = str(self.folder / "config")
            shell = Command(self.folder, XDG_CONFIG_HOME=config, **self.environ(url, self.folder))
            plans = (self.plan, self.other_plan)
            year = Year(shell, Place(self.cloud, plans, self.zone, (), 2.5, tries=6), 5)
            for _ in range(300):
                year.change()
            year.destroy()
            left = self.held(url)
            assert {kind: left[kind] for kind in self.kinds} == {kind: [] for kind in self.kinds}
        with self.capsys.disabled():
            print(f"\n{self.cloud}: 300 changes, {year.kills} kills")

    @pytest.mark.long
    def test_a_change_killed_at_random_changes_all_or_is_taken_back(self) -> None:
        self.changes(0, servers=8, forward=4, back=3)

    @pytest.mark.long
    @pytest.mark.parametrize("seed", range(1, 4))
    def test_changes_of_60_servers(self, seed: int) -> None:
        self.changes(seed, servers=60, forward=8, back=6)
