"""The faults of one call, drawn in advance from a seed that names the call and its attempt.

A draw never depends on the order of calls, on the time or on other draws, so a run that is killed and started again
has the same faults.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

from msgspec import Struct

from batchwright.fault_injection.fault_names import SERVER_FAULTS
from batchwright.fault_injection.settings import FaultSettings
from batchwright.model.ids import fraction

_NORMAL = NormalDist()


class Draw(Struct, frozen=True):
    """What was drawn for one call.

    `fault` is the word of the call's fault, empty for none; `acts`: the call takes effect all the same; `late`: after
    how many seconds; `server`: the words of the faults of the server that it creates.
    """

    seed: str = ""
    fault: str = ""
    acts: bool = True
    late: float = 0.0
    server: frozenset[str] = frozenset()

    def fraction(self, of: str) -> float:
        """A number in [0, 1) for another property of this call or of what it makes."""
        return fraction(f"{self.seed}/{of}")


NOTHING = Draw()


def draw(settings: FaultSettings, words: Sequence[str], seed: str, scripted: str = "") -> Draw:
    """The draw for a call that may have these faults. A scripted fault replaces the drawn ones."""
    if scripted:
        hits = [scripted]
    else:
        hits = [word for word in words if (chance := getattr(settings, word)) and fraction(f"{seed}/{word}") < chance]
    server = frozenset(word for word in hits if word in SERVER_FAULTS)
    fault = next((word for word in hits if word not in SERVER_FAULTS), "")
    match fault:
        case "" | "lost_answers":
            return Draw(seed, fault, server=server)
        case "late_commits":
            late = settings.late_min + (settings.late_max - settings.late_min) * fraction(f"{seed}/late")
            return Draw(seed, fault, late=settings.scaled(late), server=server)
        case "bad_gateway":
            return Draw(seed, fault, acts=fraction(f"{seed}/acts") < 0.5, server=server)
    return Draw(seed, fault, acts=False)


def lognormal(median: float, sigma: float, seed: str, low: float = 0.0, high: float = math.inf) -> float:
    """A duration from the log-normal distribution with this median, within these multiples of it."""
    if median == 0 or sigma == 0:
        return median
    return median * min(high, max(low, math.exp(sigma * _NORMAL.inv_cdf(fraction(seed) or 0.5))))
