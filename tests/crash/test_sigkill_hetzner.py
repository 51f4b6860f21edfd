"""Hetzner loses answers, commits late, lists late and answers 5xx and 429."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from batchwright.emulators.hetzner import TOKEN
from tests.crash.clouds import CloudCrashSuite


class TestHetzner(CloudCrashSuite):
    """No duplicate, no orphaned server or key."""

    cloud = "hetzner"
    prefix = "hz"
    faults = (
        *("lost_answers=0.08", "late_commits=0.08", "late_min=2", "late_max=16", "list_lag=4", "transient=0.04"),
        *("bad_gateway=0.03", "throttle=0.02", "read_errors=0.01", "lag_servers=10"),
    )
    config = """[hetzner]
settle_seconds = 2.5  # late_max and list_lag are 1.3 s together
poll_seconds = 0.2
rate = 0
"""
    plan, other_plan, zone = "cx23", "cx33", "fsn1"
    kinds = ("servers", "ssh_keys")
    scale = 0.05

    def environ(self, url: str, folder: Path) -> dict[str, str]:
        return {"HCLOUD_ENDPOINT": f"{url}/v1", "HCLOUD_TOKEN": TOKEN}

    def check(self, made: dict[str, Any], names: Counter[str]) -> None:
        assert Counter(one["name"] for one in made["servers"]) == names
        assert len(made["ssh_keys"]) == 1

    def running(self, made: dict[str, Any]) -> dict[str, tuple[str, str]]:
        up = [one for one in made["servers"] if one["status"] == "running"]
        return {one["name"]: (one["type"], one["labels"].get("tier", "")) for one in up}

    @pytest.mark.long
    @pytest.mark.parametrize("seed", range(1, 7))
    def test_600_servers_and_at_least_60_kills(self, seed: int) -> None:
        self.survives(seed, servers=100, forward=8, back=3, least=10)  # of each of six runs
