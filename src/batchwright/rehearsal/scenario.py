"""What is driven through crashes: a plan, how the clouds behave, and how far the user goes."""

from __future__ import annotations

from msgspec import Struct

from batchwright.model.lifecycle import RunState
from batchwright.model.plan import Plan
from batchwright.model.scalar import Scalar

EARLIER = "earlier"  # the run before, which created the servers that the run changes


class Scenario(Struct, frozen=True):
    """A plan, the behaviour of the clouds, and what is wanted: the end of the run, or of its rollback.

    `ends` is how it must end; None: as it does undisturbed. `races`: how far it gets before it is stopped is a matter
    of time. `cancel_after`: seconds after the start at which the user cancels. `earlier` is the plan of a run that
    ended well before. `vanishes` are servers that somebody destroys before the rollback.
    """

    name: str
    plan: Plan
    settings: dict[str, Scalar]
    ends: RunState | None = None
    rollback: bool = False
    races: bool = False
    cancel_after: float | None = None
    earlier: Plan | None = None
    vanishes: tuple[str, ...] = ()
