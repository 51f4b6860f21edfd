"""Runs of the reference scenarios, over ports that may also lie."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from batchwright.model.call_outcome import Created, Rejected, Unknown
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.ids import Token
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.base import Provider
from batchwright.providers.simulated import Simulation
from batchwright.rehearsal.crash_restart_run import SimulatedRun, drive_to_end
from batchwright.rehearsal.end_state import EndState
from batchwright.rehearsal.scenario import Scenario
from batchwright.testing.crash_points import CrashPoint
from tests.crash.programs import FlakyLedger
from tests.crash.scenarios import SIZES, LyingScenario


class Lying:
    """A provider that says of some servers that their first zone has no room, and creates them there all the same."""

    def __init__(self, inner: Provider, names: Collection[str]) -> None:
        self._inner, self._names = inner, names

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def create(self, request: ServerRequest, token: Token) -> Created | Rejected | Unknown:
        outcome = await self._inner.create(request, token)
        if (request.zone, request.name in self._names) == (SIZES["upcloud"][1], True):
            return Rejected(Fault(FaultClass.CAPACITY, "the zone has no room, it says"))
        return outcome


class Lives(SimulatedRun):
    """A run of a reference scenario."""

    def new_ledger(self) -> FlakyLedger:
        return FlakyLedger(self.clock)

    def provider(self, name: str, simulation: Simulation) -> Provider:
        provider = super().provider(name, simulation)
        lies = self.scenario.lies if isinstance(self.scenario, LyingScenario) else ()
        return Lying(provider, lies) if lies else provider  # type: ignore[return-value]


async def live_through(
    scenario: Scenario, *points: CrashPoint, lives: SimulatedRun | None = None
) -> tuple[EndState, int]:
    """Die at each of the points, one process each, then live undisturbed; gives the end and the number of processes."""
    return await drive_to_end(lives or Lives(scenario), *points)
