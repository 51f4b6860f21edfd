"""The launcher port where everything is simulated: nothing is started, but it takes its time, and may fail."""

from __future__ import annotations

from typing import Protocol

from batchwright.fault_injection.fault_names import PROGRAM_FAULTS
from batchwright.model.call_outcome import Applied, Rejected, Unknown
from batchwright.model.clock import Clock
from batchwright.model.fault import Fault, FaultClass
from batchwright.operations.command import Command, CommandRequest
from batchwright.providers.simulated.draws import Draws, fault, refusal
from batchwright.providers.simulated.settings import Simulation
from batchwright.providers.simulated.world import World
from batchwright.providers.simulated.world_records import SimulatedCall


class Start(Protocol):
    """What must be known of a start; the launcher port's Launch has it."""

    @property
    def step(self) -> str: ...
    @property
    def mark(self) -> str: ...
    @property
    def undo(self) -> bool: ...
    @property
    def only_unless(self) -> bool: ...


class SimulatedLauncher:
    """Finds every program, and runs none. Scripted faults go by program, operation or step."""

    def __init__(self, world: World, clock: Clock, simulation: Simulation | None = None) -> None:
        sim = simulation or Simulation()
        self._world, self._clock = world, clock
        self._answers, self._outputs = sim.chosen_answers, sim.chosen_outputs
        self._runs = Draws(sim, "run", PROGRAM_FAULTS, sim.script("fail_command"), sim.install_seconds)
        self._undos = Draws(sim, "undo", PROGRAM_FAULTS, sim.script("fail_undo"), sim.install_seconds)

    async def resolve(self, command: Command, _folder: str = "") -> CommandRequest:
        return CommandRequest.of(command, command.run[0])

    async def launch(self, request: CommandRequest, launch: Start) -> Applied | Rejected | Unknown:
        if launch.only_unless:  # what a simulated `unless` would say is not known
            return Rejected(Fault(FaultClass.EXIT, "simulated: there is something to do"))
        kind, draws = ("undo", self._undos) if launch.undo else ("run", self._runs)
        if self._world.calls is not None:
            self._world.calls.append(SimulatedCall(self._clock.now(), "", kind, launch.step))
        names = (request.name, launch.step.partition("/")[0], launch.step)
        with self._world.turn:
            drawn, seconds = draws.next(self._world, "", launch.step, launch.mark, names)
        if seconds > 0:
            await self._clock.sleep(seconds)
        given = {} if launch.undo else self._given(request, launch)
        if (kind_of := refusal(drawn)) is not None:
            return Rejected(fault(kind_of))
        return (
            Unknown("simulated: the connection was lost before an answer came")
            if drawn.fault
            else Applied(outputs=given, answer="" if launch.undo else self._answer(request, launch))
        )

    def _given(self, request: CommandRequest, launch: Start) -> dict[str, str]:
        """What the settings say that this operation gives, else a made-up text."""
        operation = launch.step.partition("/")[0]
        return {key: self._outputs.get(f"{operation}.{key}", f"simulated-{key}") for key in request.outputs}

    def _answer(self, request: CommandRequest, launch: Start) -> str:
        """What the settings say for this operation, else the first answer that the command names."""
        wanted = self._answers.get(launch.step.partition("/")[0], "")
        return wanted if wanted in request.answers else next(iter(request.answers), "")

    async def left_over(self, _launch: Start) -> str:
        return ""
