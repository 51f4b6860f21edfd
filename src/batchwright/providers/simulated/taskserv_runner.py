"""The runner port for servers of a simulated world: what is installed where is written into the world."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from batchwright.errors import VariableInvalid
from batchwright.fault_injection.draw import Draw
from batchwright.fault_injection.fault_names import PROGRAM_FAULTS
from batchwright.model.call_outcome import Applied, CheckResult, Rejected, ServerState, Unknown
from batchwright.model.clock import Clock
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.secret_reference import SecretReference
from batchwright.model.taskserv import Taskserv
from batchwright.model.templates import Root
from batchwright.operations.taskserv_batch import TaskservRequest, filled_variable, read_value
from batchwright.operations.taskserv_batch.structs import named_in
from batchwright.providers.simulated.draws import Draws, fault, refusal
from batchwright.providers.simulated.settings import Simulation
from batchwright.providers.simulated.world import World
from batchwright.providers.simulated.world_records import SimulatedCall


class OnServer(Protocol):
    """What must be known of a target; the runner port's Target has it."""

    @property
    def provider(self) -> str: ...
    @property
    def ref(self) -> str: ...
    @property
    def name(self) -> str: ...


class SimulatedRunner:
    """Installs and removes at once or never: a call that is killed half-way has changed nothing."""

    def __init__(
        self,
        world: World,
        clock: Clock,
        simulation: Simulation | None = None,
        catalogue: Callable[[], Mapping[str, Taskserv]] = dict,
    ) -> None:
        sim = simulation or Simulation()
        self._world, self._clock, self._catalogue = world, clock, catalogue
        self._outputs = {f"{Root.OUTPUTS}.{name}" for name in sim.chosen_outputs}
        self._installs = Draws(sim, "install", PROGRAM_FAULTS, sim.script("fail_taskserv"), sim.install_seconds)
        self._removes = Draws(sim, "remove", PROGRAM_FAULTS, sim.script("fail_remove"), sim.install_seconds)

    async def install(
        self, request: TaskservRequest, target: OnServer, _job: object = None
    ) -> Applied | Rejected | Unknown:
        drawn = await self._begun("install", self._installs, request, target)
        if isinstance(drawn, Rejected):
            return drawn
        try:
            self._examine(request, target)
        except VariableInvalid as error:
            return Rejected(Fault(FaultClass.PERMANENT, error.message, error.code, error.hint))
        with self._world.turn:
            if (refused := self._refused(drawn, target)) is not None:
                return refused
            changed = self._world.installed_on(target.ref).get(request.name) != request.version
            if changed:
                self._world.install(target.ref, request.name, request.version)
        return _lost() if drawn.fault else Applied(changed)

    def _examine(self, request: TaskservRequest, target: OnServer) -> None:
        """Values that a run gives are compared with the catalogue, as on real servers. What a simulated command made
        up is not. Raises VariableInvalid.
        """
        if not request.references or (entry := self._catalogue().get(request.entry_name)) is None:
            return
        address = getattr(self._world.server(target.ref), "address", "")
        known = {**request.values, "server.name": target.name, "server.address": address}
        for name, given in request.variables.items():
            if isinstance(given, SecretReference):
                continue
            named = list(named_in(given))
            if named and all(one.root is not Root.OUTPUTS or one.path in self._outputs for one in named):
                read_value(entry, name, given, filled_variable(given, known))

    async def installed(self, target: OnServer) -> tuple[str, ...]:
        self._world.refresh()
        return tuple(sorted(self._world.installed_on(target.ref)))

    async def preview(self, request: TaskservRequest, target: OnServer, _job: object = None) -> tuple[str, ...]:
        self._world.refresh()
        there = self._world.installed_on(target.ref).get(request.name)
        return () if there == request.version else (f"install {request.name} {request.version}",)

    async def check(self, request: TaskservRequest, target: OnServer, _job: object = None) -> tuple[CheckResult, ...]:
        self._world.refresh()
        if (missing := self._missing(target)) is not None:
            return (CheckResult("simulated", False, missing.fault.message),)
        there = self._world.installed_on(target.ref).get(request.name)
        said = "" if there == request.version else f"simulated: {there or 'nothing'} is installed"
        return (CheckResult("simulated", not said, said),)

    async def remove(
        self, request: TaskservRequest, target: OnServer, _job: object = None
    ) -> Applied | Rejected | Unknown:
        drawn = await self._begun("remove", self._removes, request, target)
        if isinstance(drawn, Rejected):
            return drawn
        with self._world.turn:
            if (refused := self._refused(drawn, target)) is not None:
                return refused
            changed = request.name in self._world.installed_on(target.ref)
            if changed:
                self._world.remove(target.ref, request.name)
        return _lost() if drawn.fault else Applied(changed)

    async def _begun(self, method: str, draws: Draws, request: TaskservRequest, target: OnServer) -> Draw | Rejected:
        """Count the call, and let its time pass."""
        about = f"{request.name}@{target.name}"
        if self._world.calls is not None:
            self._world.calls.append(SimulatedCall(self._clock.now(), target.provider, method, about))
        with self._world.turn:
            if (missing := self._missing(target)) is not None:
                return missing
            names = (request.name, about)
            drawn, seconds = draws.next(self._world, target.provider, about, f"{target.ref}/{request.name}", names)
        if seconds > 0:
            await self._clock.sleep(seconds)
        return drawn

    def _refused(self, drawn: Draw, target: OnServer) -> Rejected | None:
        kind = refusal(drawn)
        return Rejected(fault(kind)) if kind is not None else self._missing(target)

    def _missing(self, target: OnServer) -> Rejected | None:
        now, server = self._clock.now(), self._world.server(target.ref)
        if server is None or server.provider != target.provider or not server.exists(now):
            return Rejected(fault(FaultClass.NOT_FOUND, f"there is no server {target.ref} ({target.name})"))
        state = server.true_state(now)
        if state is not ServerState.READY:
            return Rejected(fault(FaultClass.NOT_FOUND, f"the server {target.name} is {state}, not ready"))
        return None


def _lost() -> Unknown:
    return Unknown("simulated: the connection was lost before an answer came")
