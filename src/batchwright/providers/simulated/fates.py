"""What happens to each call: scripted faults first, then drawn ones. The same for the same seed, name and attempt.

A draw never depends on the order of calls, so a run that was killed and started again meets what it would have met.
"""

from __future__ import annotations

import math
from statistics import NormalDist

from msgspec import Struct

from batchwright.model.ids import fraction
from batchwright.model.outcome import Fault, FaultClass
from batchwright.providers.simulated.script import Script
from batchwright.providers.simulated.settings import Simulation
from batchwright.providers.simulated.world import World

_NORMAL = NormalDist()
_REFUSALS = {str(kind): kind for kind in FaultClass}
_MESSAGES = {
    FaultClass.TRANSIENT: "the service is not available for a moment",
    FaultClass.THROTTLE: "too many requests",
    FaultClass.BUSY: "another operation is in progress",
    FaultClass.CAPACITY: "the zone has no room",
    FaultClass.QUOTA: "the account's limit of servers is reached",
    FaultClass.BILLING: "the account has no credit",
    FaultClass.AUTH: "the credentials were refused",
    FaultClass.INVALID: "the request is not valid",
    FaultClass.NOT_FOUND: "there is no such thing",
    FaultClass.CONFLICT: "it conflicts with what is there",
    FaultClass.PERMANENT: "the request was refused",
    FaultClass.EXIT: "it ended with exit code 1",
}


def fault(kind: FaultClass, message: str = "", retry_after: float | None = None) -> Fault:
    """A refusal as the simulated places word it."""
    text = f"simulated: {message or _MESSAGES[kind]}"
    return Fault(kind, text, code=f"SIMULATED_{kind.upper()}", retry_after=retry_after)


class Fate(Struct, frozen=True):
    """What is to happen to one call. `seconds` is how long it takes."""

    seed: str
    effects: frozenset[str]
    seconds: float

    def refusal(self) -> FaultClass | None:
        """The class of the refusal, if it is refused."""
        return next((_REFUSALS[effect] for effect in sorted(self.effects) if effect in _REFUSALS), None)

    def fraction(self, of: str) -> float:
        """A number in [0, 1) for another property of what this call makes."""
        return fraction(f"{self.seed}/{of}")


_UNEVENTFUL = Fate("", frozenset(), 0.0)


class Fates:
    """The fates of one provider's calls of one kind. `median` seconds until an answer; `after` more is drawn later."""

    def __init__(
        self,
        simulation: Simulation,
        kind: str,
        script: Script,
        chances: dict[str, float],
        median: float,
        after: float = 0.0,
    ) -> None:
        self._kind, self._script, self._median = kind, script, median * simulation.time_scale
        self._seed, self._spread = simulation.seed, simulation.spread
        self._chances = [(effect, chance) for effect, chance in chances.items() if chance > 0]
        self.uneventful = not (self._chances or script.rules or self._median or after)

    def next(self, world: World, provider: str, about: str, key: str, names: tuple[str, ...]) -> Fate:
        """The fate of this call about something; `key` is what its attempts are counted by."""
        if self.uneventful:
            return _UNEVENTFUL
        attempt = world.attempt(f"{self._kind}/{provider}/{key}")
        seed = f"{self._seed}/{provider}/{self._kind}/{about}/{attempt}"
        scripted = self._script.effect(names, attempt)
        if scripted:
            effects = frozenset((scripted,))
        else:
            effects = frozenset(effect for effect, chance in self._chances if fraction(f"{seed}/{effect}") < chance)
        return Fate(seed, effects, lognormal(self._median, self._spread, f"{seed}/seconds"))


def lognormal(median: float, spread: float, seed: str) -> float:
    """A duration from the log-normal distribution with this median and sigma."""
    if median == 0 or spread == 0:
        return median
    return median * math.exp(spread * _NORMAL.inv_cdf(fraction(seed) or 0.5))
