"""Destroying environments through a service: previewed, then a run like any other."""

from __future__ import annotations

import hashlib

from msgspec import Struct

from batchwright.app.adapters import Adapters
from batchwright.app.environment_destroy import plan_destruction
from batchwright.app.environment_reader import find_home
from batchwright.app.environment_turn_wait import wait_for_turn_of
from batchwright.app.planned import Planned
from batchwright.app.plans import approve
from batchwright.app.runs import Runs
from batchwright.engine.limits import Limits
from batchwright.errors import EnvironmentEmpty
from batchwright.model.plan import Plan
from batchwright.service.run_feed import RunFeed
from batchwright.service.run_supervisor import RunSupervisor


class DestroyRequest(Struct, frozen=True):
    """Which environment, who asks, the Idempotency-Key, and how many seconds to wait for its turn."""

    environment: str
    by: str = ""
    key: str = ""
    plan_hash: str = ""
    wait: float = 0.0
    principal: str = ""  # who asks, as Principal.id

    def digest(self) -> str:
        """Identifies what is to be destroyed, whatever its key; empty without a key."""
        bare = f"destroy {self.environment} {self.plan_hash}"
        return hashlib.sha256(bare.encode()).hexdigest() if self.key else ""


async def preview(supervisor: RunSupervisor, environment: str, wait: float = 0.0) -> Planned:
    """What destroying the environment would do. Raises EnvironmentRefused, StoreError, ProviderUnavailable."""
    found = await find_home(supervisor.stores, environment, simulated=None)
    await wait_for_turn_of(found.journal, found.state.key, supervisor.clock, wait)
    found = await find_home(supervisor.stores, environment, simulated=None)
    settings, clock = supervisor.settings, supervisor.clock
    async with Adapters(settings, clock, Limits(), found.plan.simulation, supervisor.world) as around:
        return await plan_destruction(settings, around, found)


async def destroy(supervisor: RunSupervisor, request: DestroyRequest) -> tuple[RunFeed, bool]:
    """Begin a run that destroys the environment; the same run again for the same key. Gives whether it is a new one.

    Raises as `preview`, PlanRefused, PlanChanged, EnvironmentEmpty, IdempotencyMismatch.
    """
    async with supervisor.desk.key(request):
        if (earlier := await supervisor.desk.earlier(request)) is not None:
            return await supervisor.feeds.find(earlier), False
        supervisor.refuse_more()
        plan = _accepted(await preview(supervisor, request.environment, request.wait), request)
        supervisor.refuse_more()  # the plan took its time
        runs = Runs(supervisor.settings, supervisor.stores, supervisor.clock)
        own = supervisor.desk.run_id(request)
        stored = await runs.create(
            plan, request.by, request.key, request.digest(), client=True, run=own, principal=request.principal
        )
        return await supervisor.start(stored), True


def _accepted(planned: Planned, request: DestroyRequest) -> Plan:
    if planned.plan is None:
        raise planned.refusal()
    if not planned.plan.steps:
        raise EnvironmentEmpty(f"the environment {request.environment} has nothing that could be destroyed")
    approve(planned.plan, request.plan_hash)
    return planned.plan
