"""The prober port where everything is simulated: nothing is contacted, and all is well unless a fault is drawn."""

from __future__ import annotations

from typing import Protocol

from batchwright.fault_injection.fault_names import PROGRAM_FAULTS
from batchwright.model.call_outcome import CheckResult, Rejected
from batchwright.model.clock import Clock
from batchwright.operations.check import CheckRequest
from batchwright.providers.simulated.draws import NO_ANSWER, Draws, fault, refusal
from batchwright.providers.simulated.settings import Simulation
from batchwright.providers.simulated.world import World
from batchwright.providers.simulated.world_records import SimulatedCall


class ProbedStep(Protocol):
    """What must be known of a look; the prober port's ProbeContext has it."""

    @property
    def step(self) -> str: ...
    @property
    def mark(self) -> str: ...


class SimulatedProber:
    """Finds all well. Scripted faults go by operation or step."""

    def __init__(self, world: World, clock: Clock, simulation: Simulation | None = None) -> None:
        sim = simulation or Simulation()
        self._world, self._clock = world, clock
        self._draws = Draws(sim, "check", PROGRAM_FAULTS, sim.script("fail_check"), sim.answer_seconds)

    async def probe(self, request: CheckRequest, context: ProbedStep) -> CheckResult | Rejected:
        if self._world.calls is not None:
            self._world.calls.append(SimulatedCall(self._clock.now(), "", "check", context.step))
        with self._world.turn:
            drawn, seconds = self._draws.next(self._world, "", context.step, context.mark, (request.name, context.step))
        if seconds > 0:
            await self._clock.sleep(seconds)
        if (kind := refusal(drawn)) is not None:
            return CheckResult("check", False, fault(kind).message)
        return CheckResult("check", not drawn.fault, NO_ANSWER if drawn.fault else "simulated: well")
