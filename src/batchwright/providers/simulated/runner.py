"""The runner port for servers of a simulated world: what is installed where is written into the world."""

from __future__ import annotations

from typing import Protocol

from batchwright.model.clock import Clock
from batchwright.model.outcome import Applied, CheckResult, FaultClass, Rejected, ServerState, Unknown
from batchwright.operations.taskserv_batch import TaskservRequest
from batchwright.providers.simulated.fates import Fate, Fates, fault
from batchwright.providers.simulated.rows import SimulatedCall
from batchwright.providers.simulated.settings import Simulation
from batchwright.providers.simulated.world import World


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

    def __init__(self, world: World, clock: Clock, simulation: Simulation | None = None) -> None:
        sim = simulation or Simulation()
        chances = {"transient": sim.transient, "lost": sim.lost_answers}
        self._world, self._clock = world, clock
        self._installs = Fates(sim, "install", sim.install_script(), chances, sim.install_seconds)
        self._removes = Fates(sim, "remove", sim.remove_script(), chances, sim.install_seconds)

    async def install(
        self, request: TaskservRequest, target: OnServer, _job: object = None
    ) -> Applied | Rejected | Unknown:
        fate = self._begun("install", self._installs, request, target)
        if isinstance(fate, Rejected):
            return fate
        await self._take(fate)
        with self._world.turn:
            if (refused := self._refused(fate, target)) is not None:
                return refused
            changed = self._world.installed_on(target.ref).get(request.name) != request.version
            if changed:
                self._world.install(target.ref, request.name, request.version)
        return _lost() if "lost" in fate.effects else Applied(changed)

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
        fate = self._begun("remove", self._removes, request, target)
        if isinstance(fate, Rejected):
            return fate
        await self._take(fate)
        with self._world.turn:
            if (refused := self._refused(fate, target)) is not None:
                return refused
            changed = request.name in self._world.installed_on(target.ref)
            if changed:
                self._world.remove(target.ref, request.name)
        return _lost() if "lost" in fate.effects else Applied(changed)

    def _begun(self, method: str, fates: Fates, request: TaskservRequest, target: OnServer) -> Fate | Rejected:
        about = f"{request.name}@{target.name}"
        if self._world.calls is not None:
            self._world.calls.append(SimulatedCall(self._clock.now(), target.provider, method, about))
        with self._world.turn:
            if (missing := self._missing(target)) is not None:
                return missing
            names = (request.name, about)
            return fates.next(self._world, target.provider, about, f"{target.ref}/{request.name}", names)

    async def _take(self, fate: Fate) -> None:
        if fate.seconds > 0:
            await self._clock.sleep(fate.seconds)

    def _refused(self, fate: Fate, target: OnServer) -> Rejected | None:
        kind = fate.refusal()
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
