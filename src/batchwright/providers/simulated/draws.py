"""Decides what happens to each simulated call: scripted faults first, then drawn ones, and how long it takes."""

from __future__ import annotations

from collections.abc import Sequence

from batchwright.fault_injection.draw import NOTHING, Draw, draw, lognormal
from batchwright.fault_injection.script import NO_SCRIPT, FaultScript
from batchwright.model.fault import Fault, FaultClass
from batchwright.providers.simulated.settings import Simulation
from batchwright.providers.simulated.world import World

NO_ANSWER = "simulated: the connection was lost before an answer came"
_REFUSALS = {str(kind): kind for kind in FaultClass}
_MESSAGES = {
    FaultClass.TRANSIENT: "the service is temporarily unavailable",
    FaultClass.THROTTLE: "too many requests",
    FaultClass.BUSY: "another operation is in progress",
    FaultClass.CAPACITY: "the zone has no room",
    FaultClass.QUOTA: "the account's limit of servers is reached",
    FaultClass.BILLING: "the account has no credit",
    FaultClass.AUTH: "the credentials were refused",
    FaultClass.INVALID: "the request is not valid",
    FaultClass.NOT_FOUND: "not found",
    FaultClass.CONFLICT: "it conflicts with existing resources",
    FaultClass.PERMANENT: "the request was refused",
    FaultClass.EXIT: "it exited with code 1",
}


def fault(kind: FaultClass, message: str = "", retry_after: float | None = None) -> Fault:
    """A refusal in the words of the simulated clouds."""
    text = f"simulated: {message or _MESSAGES[kind]}"
    return Fault(kind, text, code=f"SIMULATED_{kind.upper()}", retry_after=retry_after)


def refusal(drawn: Draw) -> FaultClass | None:
    """The class of the refusal, if the call is refused."""
    return _REFUSALS.get(drawn.fault)


class Draws:
    """The draws of one provider's calls of one kind, with the seconds that each call takes.

    `faults` are the words that may happen to these calls, `median` the seconds until an answer. Calls to which nothing
    happens and that take no time are not counted; `timed` says that more than the answer takes time.
    """

    def __init__(
        self,
        simulation: Simulation,
        kind: str,
        faults: Sequence[str],
        script: FaultScript = NO_SCRIPT,
        median: float = 0.0,
        timed: bool = False,
    ) -> None:
        self._simulation, self._kind, self._script = simulation, kind, script
        self._faults = [word for word in faults if getattr(simulation, word)]
        self._median = simulation.scaled(median)
        self.uneventful = not (self._faults or script.rules or self._median or timed)

    def next(self, world: World, provider: str, about: str, key: str, names: tuple[str, ...]) -> tuple[Draw, float]:
        """The draw for this call about something, and its seconds; `key` is what its attempts are counted by."""
        if self.uneventful:
            return NOTHING, 0.0
        sim = self._simulation
        attempt = world.attempt(f"{self._kind}/{provider}/{key}")
        seed = f"{sim.seed}/{provider}/{self._kind}/{about}/{attempt}"
        drawn = draw(sim, self._faults, seed, self._script.effect(names, attempt))
        return drawn, lognormal(self._median, sim.spread, f"{seed}/seconds")
