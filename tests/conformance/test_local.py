"""The local provider, with real sandboxes, through the suite that every provider runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from batchwright.app.system_clock import SystemClock
from batchwright.model.call_outcome import Created, Going, Rejected, Unknown
from batchwright.model.ids import Token
from batchwright.model.workflow import ServerConfig
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.base import Provider
from batchwright.providers.local import cgroups, records
from batchwright.providers.local.adapter import Local
from batchwright.testing.provider_harness import ProviderHarness
from batchwright.testing.provider_suite import ProviderSuite
from tests.support.sandboxes import need_sandboxes


class Losing(Local):
    """Its creates, and its first change, are carried out, and their answers lost."""

    async def create(self, request: ServerRequest, token: Token) -> Created | Rejected | Unknown:
        await super().create(request, token)
        return Unknown("lost")

    async def change(
        self, ref: str, request: ServerRequest, before: ServerRequest
    ) -> Created | Going | Rejected | Unknown:
        self.lost = getattr(self, "lost", False)
        answer = await super().change(ref, request, before)
        was, self.lost = self.lost, True
        return answer if was else Unknown("lost")


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

    def other_plan(self) -> str:
        return "2xCPU-512MB"

    def labels(self, ref: str) -> dict[str, str]:
        return dict(self._intent(ref).request.labels)

    def label(self, ref: str, key: str, value: str) -> None:
        intent = self._intent(ref)
        request = replace(intent.request, labels={**intent.request.labels, key: value})
        self._file(ref).write_bytes(records.encode(replace(intent, request=request)))

    def _intent(self, ref: str) -> records.Intent:
        return records.decode_intent(self._file(ref).read_bytes())

    def _file(self, ref: str) -> Path:
        return self.state_dir / "local" / "servers" / ref / records.INTENT

    def test_a_running_server_has_the_memory_of_its_new_plan(self) -> None:
        async def scenario(bench: ProviderHarness) -> None:
            ref, small = await self._made(bench, "suite-memory")
            limits = [
                path
                for one in cgroups.here()
                for name in ("memory.limit_in_bytes", "memory.max")
                if (path := cgroups.group_of(one, ref) / name).exists()
            ]
            assert bool(limits) == cgroups.enforces_memory(cgroups.here())
            large = await self._resized(bench, "suite-memory")
            await bench.changed(ref, large, small)
            assert {path.read_text().strip() for path in limits} <= {str(512 << 20)}
            await bench.changed(ref, small, large)
            assert {path.read_text().strip() for path in limits} <= {str(256 << 20)}

        self.play(scenario)

    def change_losing_client(self) -> Provider:
        losing = self.losing_client()
        assert isinstance(losing, Losing)
        return losing

    def losing_client(self) -> Provider:
        losing = Losing.connect("local", self.clock(), {"state_dir": str(self.state_dir)})
        assert isinstance(losing, Losing)
        return losing

    def bad_config(self) -> ServerConfig | None:
        return ServerConfig("suite-bad", "1xCPU-2 crates", "here")
