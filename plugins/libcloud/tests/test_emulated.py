"""The bridge over Libcloud's own driver for Vultr, against the emulator that the plug-in brings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, ClassVar

import pytest
from msgspec.structs import replace

from batchwright.app.system_clock import SystemClock
from batchwright.emulators.server import serve
from batchwright.model.call_outcome import Rejected
from batchwright.model.clock import Clock
from batchwright.model.workflow import ServerConfig
from batchwright.providers.base import Provider
from batchwright.testing.provider_kill_suite import CrashSuite
from batchwright.testing.provider_suite import ProviderSuite
from batchwright_libcloud import Libcloud
from batchwright_libcloud.emulator import EMULATOR, PLANS, SYSTEMS, VultrBehaviour, VultrEmulator

PLAN, IMAGE = str(PLANS[0]["id"]), str(SYSTEMS[0]["name"])
SCALE = 0.01  # a server takes 0.3 s to boot


class VultrRig(ProviderSuite):
    behaviour: ClassVar[VultrBehaviour] = VultrBehaviour(time_scale=SCALE)
    patience = 60.0
    shows_labels = False

    @pytest.fixture(autouse=True)
    def _account(self, tmp_path: Path):  # type: ignore[no-untyped-def]
        self.state, self.emulator = tmp_path, VultrEmulator(self.behaviour)
        self.environ = {key: value for key, value in EMULATOR.environ.items() if "{" not in value}
        yield
        assert self.emulator.account.summary()["instances"] == []

    def drive(self, main: Coroutine[Any, Any, None]) -> None:
        async def served() -> None:
            async with serve(self.emulator) as self.environ["LIBCLOUD_URL"]:
                await main

        super().drive(served())

    def client(self) -> Provider:
        times = {"settle_seconds": 0.6, "poll_seconds": 0.05, "rate": 100}
        return Libcloud("libcloud", SystemClock(), {"state_dir": str(self.state), **times}, self.environ)

    def losing_client(self) -> Provider:
        """Answers of creates are lost."""

        class Losing(Libcloud):
            async def open(inner) -> None:  # noqa: N805
                await super().open()
                self.emulator.account.behaviour = replace(self.behaviour, lost_answers=1.0)

            async def aclose(inner) -> None:  # noqa: N805
                self.emulator.account.behaviour = self.behaviour
                await super().aclose()

        return Losing("libcloud", SystemClock(), {"state_dir": str(self.state), "settle_seconds": 0.6}, self.environ)

    def clock(self) -> Clock:
        return SystemClock()

    def config(self, name: str) -> ServerConfig:
        return ServerConfig(name, PLAN, "ams", image=IMAGE)

    def attach(self, ref: str) -> set[str]:
        return {self.emulator.account.attach_volume(ref).id}

    def foreign(self) -> set[str]:
        return {block.id for block in self.emulator.account.blocks}


class TestHealthy(VultrRig):
    """As it is without any fault."""

    @pytest.mark.parametrize("fault", ["capacity", "throttle", "auth"])
    def test_a_refusal_in_the_clouds_own_words_is_certain(self, fault: str) -> None:
        async def scenario(bench: Any) -> None:
            request = await bench.request("suite-refused")
            self.emulator.account.behaviour = replace(self.behaviour, fail=f"suite-refused-*={fault}")
            answer = await bench.provider.create(request, bench.token("suite-refused"))
            assert isinstance(answer, Rejected)
            assert answer.fault.code == {"capacity": "400", "throttle": "429", "auth": "401"}[fault]

        self.play(scenario)


class TestSmallPagesAndLag(VultrRig):
    """Servers are listed late, but within the settle time, on pages of three."""

    behaviour = VultrBehaviour(time_scale=SCALE, list_lag=30, page=3)


class TestKilled(CrashSuite):
    """The real command is killed at random; `emulate libcloud` is a command that the plug-in brings."""

    cloud, prefix, scale = "libcloud", "lc", 0.02
    faults = (
        *("lost_answers=0.08", "late_commits=0.08", "late_min=2", "late_max=30", "list_lag=20"),
        *("transient=0.04", "bad_gateway=0.03", "read_errors=0.01"),
    )
    config = "[libcloud]\nsettle_seconds = 2.5\npoll_seconds = 0.2\nrate = 0\n"
    plan, zone = PLAN, "ams"
    kinds = ("instances", "blocks")

    def environ(self, url: str, _folder: Path) -> dict[str, str]:
        return {key: value.format(url=url) for key, value in EMULATOR.environ.items()}

    def batches(self, name: str, servers: int) -> dict[str, list[dict[str, str]]]:
        return {"web": [server | {"image": IMAGE} for server in super().batches(name, servers)["web"]]}

    def check(self, made: dict[str, Any], names: Counter[str]) -> None:
        assert Counter(one["label"].rsplit("-", 2)[0] for one in made["instances"]) == names

    def test_a_run_killed_at_random_leaves_no_duplicate_and_no_orphan(self, tmp_path: Path) -> None:
        print(self.killed(tmp_path, seed=0, servers=16, forward=3, back=2, least=5))
