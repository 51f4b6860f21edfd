"""UpCloud loses answers, commits late, lists late, answers 5xx and 429, and leaves disks and addresses behind."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from batchwright.emulators.upcloud import TOKEN
from tests.crash.clouds import CloudCrashSuite

ADDRESSES = 3  # of each server: public and utility IPv4, public IPv6


class TestUpCloud(CloudCrashSuite):
    """No duplicate, no orphaned server, disk or address."""

    cloud = "upcloud"
    prefix = "up"
    faults = (
        *("lost_answers=0.06", "late_commits=0.06", "late_min=5", "late_max=40", "list_lag=30", "transient=0.04"),
        *("bad_gateway=0.03", "throttle=0.02", "read_errors=0.01", "broken=0.02"),
        *("keep_addresses=0.1", "left_disks=0.1"),
    )
    config = """[upcloud]
settle_seconds = 2.5  # late_max and list_lag are 1.4 s together
poll_seconds = 0.2
concurrency = 12
rate = 0
"""
    plan, other_plan, zone = "1xCPU-2GB", "2xCPU-4GB", "de-fra1"
    kinds = ("servers", "disks", "addresses")
    scale = 0.02

    def environ(self, url: str, folder: Path) -> dict[str, str]:
        return {"UPCLOUD_API_URL": url, "UPCLOUD_TOKEN": TOKEN}

    def check(self, made: dict[str, Any], names: Counter[str]) -> None:
        assert Counter(one["title"] for one in made["servers"]) == names
        alive = Counter(one["uuid"] for one in made["servers"])
        assert Counter(one["server"] for one in made["disks"]) == alive
        assert Counter(one["server"] for one in made["addresses"]) == Counter(dict.fromkeys(alive, ADDRESSES))

    def running(self, made: dict[str, Any]) -> dict[str, tuple[str, str]]:
        up = [one for one in made["servers"] if one["state"] == "started"]
        return {one["title"]: (one["plan"], one["labels"].get("tier", "")) for one in up}

    def test_a_change_killed_at_random_changes_all_or_is_taken_back(self) -> None:
        """Here for all clouds; the others are `long`, and so are more kills."""
        self.changes(0, servers=4, forward=2, back=2)

    def test_a_run_killed_at_random_leaves_no_duplicate_and_no_orphan(self) -> None:
        self.survives(0, servers=16, forward=3, back=1, least=4)

    @pytest.mark.long
    @pytest.mark.parametrize("seed", range(1, 7))
    def test_600_servers_and_at_least_60_kills(self, seed: int) -> None:
        self.survives(seed, servers=100, forward=8, back=3, least=10)  # of each of six runs
