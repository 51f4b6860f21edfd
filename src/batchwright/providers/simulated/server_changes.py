"""How the simulated clouds change a server in place: another plan, with a stop and a start around it, and labels."""

from __future__ import annotations

from msgspec.structs import replace

from batchwright.fault_injection.draw import Draw, lognormal
from batchwright.fault_injection.fault_names import CALL_FAULTS
from batchwright.model.call_outcome import Created, Going, Observed, Rejected, ServerState, Unknown
from batchwright.model.fault import FaultClass
from batchwright.model.server_labels import labels_after
from batchwright.model.update_behavior import ChangeWay, FieldWay
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.server_change import is_throttled
from batchwright.providers.simulated.catalog import Profile
from batchwright.providers.simulated.draws import NO_ANSWER, Draws, fault, refusal
from batchwright.providers.simulated.settings import Simulation
from batchwright.providers.simulated.world import World
from batchwright.providers.simulated.world_records import SimulatedServer

Answer = tuple[Created | Going | Rejected | Unknown, float]  # and the seconds until it comes


class ServerChanges:
    """The changes of one simulated account."""

    def __init__(self, provider: str, world: World, simulation: Simulation, profile: Profile) -> None:
        self._provider, self._world, self._profile, self._simulation = provider, world, profile, simulation
        sim, answer = simulation, simulation.answer_seconds
        self._changes = Draws(sim, "change", CALL_FAULTS, sim.script("fail_change"), answer)
        self._powers = Draws(sim, "power", CALL_FAULTS, median=answer, timed=True)

    def ways(self, observed: Observed, request: ServerRequest) -> dict[str, FieldWay]:
        """See ChangesServers. Servers that were there before are not changed."""
        if not self._profile.destroys:
            return {}
        against = self._against(observed.plan, request.plan)
        plan = FieldWay(ChangeWay.REPLACE if against else self._simulation.resizes, against)
        return {"plan": plan, "labels": FieldWay(ChangeWay.LIVE)}

    def _against(self, plan: str, other: str) -> str:
        """Why a server of one plan cannot get the other; empty if it can."""
        if self._simulation.resizes is ChangeWay.REPLACE:
            return "only a new server has another plan here"
        return self._profile.unlike(plan, other)

    def step(self, now: float, server: SimulatedServer, request: ServerRequest, before: ServerRequest) -> Answer:
        """One step of a change, see ChangesServers; inside a turn of the world."""
        resizes = server.request.plan != request.plan
        if server.stopped_at is not None:
            if now < server.stopped_at:
                return Going("simulated: it is stopping"), 0.0
            return self._changed(now, server, request, before) if resizes else self._started(now, server)
        ready = server.state(now) is ServerState.READY
        if resizes and self._simulation.resizes is ChangeWay.STOPPED:
            return self._stopped(now, server) if ready else (Going("simulated: it is starting"), 0.0)
        if resizes or labels_after(server.request.labels, request.labels, before.labels) != server.request.labels:
            return self._changed(now, server, request, before)
        return self.present(now, server), 0.0

    def _changed(self, now: float, server: SimulatedServer, request: ServerRequest, before: ServerRequest) -> Answer:
        """Another plan while it is stopped, and then the start; while it runs, labels too."""
        drawn, seconds = self._changes.next(self._world, self._provider, server.name, server.ref, (server.name,))
        refused, stopped = self._refused(server, request, drawn), server.stopped_at is not None
        if refused is None and drawn.acts:
            labels = server.request.labels
            labels = labels if stopped else labels_after(labels, request.labels, before.labels)
            self._world.change(server.ref, replace(server.request, plan=request.plan, labels=labels))
        if refused is None and drawn.fault:
            return Unknown(NO_ANSWER), seconds
        if not stopped or (refused is not None and is_throttled(refused)):
            return refused or self.present(now, server), seconds
        started, more = self._started(now + seconds, server)
        return (refused if refused is not None and isinstance(started, Going) else started), seconds + more

    def present(self, now: float, server: SimulatedServer) -> Created:
        """The end of a change: the server has its values."""
        ready = server.state(now) is ServerState.READY
        return Created(server.ref, ready, server.address if ready else "")

    def _refused(self, server: SimulatedServer, request: ServerRequest, drawn: Draw) -> Rejected | None:
        if (kind := refusal(drawn)) is not None:
            return Rejected(fault(kind, retry_after=self._simulation.pause(kind)))
        old, new = server.request.plan, request.plan
        if not self._profile.offers(new, server.request.zone):
            return Rejected(fault(FaultClass.INVALID, f"no plan {new} in {server.request.zone}"))
        if old != new and (against := self._against(old, new)):
            return Rejected(fault(FaultClass.INVALID, against))
        return None

    def _stopped(self, now: float, server: SimulatedServer) -> Answer:
        drawn, seconds = self._powers.next(self._world, self._provider, server.name, server.ref, (server.name,))
        if (kind := refusal(drawn)) is not None:
            return Rejected(fault(kind, retry_after=self._simulation.pause(kind))), seconds
        if drawn.acts:
            sim = self._simulation
            takes = lognormal(sim.scaled(sim.stop_seconds), sim.spread, f"{drawn.seed}/stopped")
            self._world.stop(server.ref, now + seconds + takes)
        return (Unknown(NO_ANSWER) if drawn.fault else Going("simulated: it is stopping")), seconds

    def _started(self, now: float, server: SimulatedServer) -> Answer:
        drawn, seconds = self._powers.next(self._world, self._provider, server.name, server.ref, (server.name,))
        if (kind := refusal(drawn)) is not None:
            return Rejected(fault(kind, retry_after=self._simulation.pause(kind))), seconds
        if drawn.acts:
            sim = self._simulation
            boot = lognormal(sim.scaled(sim.boot_seconds), sim.spread, f"{drawn.seed}/boot")
            self._world.start(server.ref, now + seconds + boot)
        return (Unknown(NO_ANSWER) if drawn.fault else Going("simulated: it is starting")), seconds
