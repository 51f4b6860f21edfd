"""AWS loses answers, commits late, lists late and answers 503."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from batchwright.testing.provider_kill_suite import look
from tests.crash.clouds import CloudCrashSuite
from tests.support.emulated_aws import credentials

IMAGES = {"eu-central-1": "debian-12", "us-east-1a": "ubuntu-24.04"}  # by zone; the servers of one have two disks


class TestAws(CloudCrashSuite):
    """Nothing is made twice, and nothing of any kind is left over."""

    cloud = "aws"
    prefix = "kill"
    faults = (
        *("lost_answers=0.08", "late_commits=0.08", "late_min=0.1", "late_max=0.6", "transient=0.05", "list_lag=0.3"),
        *("read_errors=0.02", "boot_seconds=0.4", "shutdown_seconds=0.4", "page_size=20", "rate=0"),
        *("lag_tags=0.9", "lag_volumes=0.6"),
    )
    config = "[aws]\nsettle_seconds = 2.5\npoll_seconds = 0.2\nrate = 0\n"
    plan, other_plan, zone = "t3.micro", "t3.large", "eu-central-1"
    kinds = ("instances", "volumes", "interfaces", "groups", "keys")

    def batches(self, name: str, servers: int) -> dict[str, list[dict[str, str]]]:
        """Half of the servers in each region."""
        return {
            zone: [
                {"name": f"{name}-{zone}-{i:03d}", "zone": zone, "image": image, "plan": self.plan}
                for i in range(servers // 2)
            ]
            for zone, image in IMAGES.items()
        }

    def environ(self, url: str, folder: Path) -> dict[str, str]:
        return {**credentials(folder), "AWS_ENDPOINT_URL": url}

    def held(self, url: str) -> dict[str, Any]:
        """Once nothing is on its way any more."""
        until = time.monotonic() + 60
        while time.monotonic() < until:
            found = look(f"{url}/_emulator")
            if not found["pending"]:
                return found
            time.sleep(0.1)
        raise AssertionError("something is still on its way after a minute")

    def check(self, made: dict[str, Any], names: Counter[str]) -> None:
        assert Counter(one["Name"] for one in made["instances"]) == names
        assert made["duplicates"] == {}
        servers = names.total()
        kinds = ("volumes", "interfaces", "groups", "keys")
        assert [len(made[kind]) for kind in kinds] == [3 * servers // 2, servers, 2, 2]

    def running(self, made: dict[str, Any]) -> dict[str, tuple[str, str]]:
        up = [one for one in made["instances"] if one["state"] == "running"]
        return {one["Name"]: (one["type"], one.get("tier", "")) for one in up}

    def happened(self, left: dict[str, Any]) -> dict[str, int]:
        refused = {code: n for code, n in left["refused"].items() if code != "DryRunOperation"}
        return {"creates": left["calls"]["RunInstances"], **refused}

    @pytest.mark.long
    @pytest.mark.parametrize("seed", range(100, 105))
    def test_sixty_kills_over_six_hundred_servers(self, seed: int) -> None:
        self.survives(seed, servers=120, forward=8, back=5, least=13)
