"""What the installs of a plan would change on servers that exist."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from batchwright.app.adapters import Adapters
from batchwright.app.settings import Settings
from batchwright.app.workload_health import AT_ONCE, reached_by
from batchwright.engine.limits import Limits
from batchwright.errors import BatchwrightError
from batchwright.model.clock import Clock
from batchwright.model.plan import Plan, Step
from batchwright.model.templates import Reference
from batchwright.operations.server_login import planned_login
from batchwright.operations.taskserv_batch import TaskservRequest
from batchwright.taskservs.base import Target, TaskservCall
from batchwright.views.install_preview import InstallPreview
from batchwright.views.planned_changes import known_when


async def preview_plan(settings: Settings, clock: Clock, plan: Plan, folder: str = "") -> tuple[InstallPreview, ...]:
    """What the plan's installs would change on servers that exist; read-only. Sources are relative to `folder`."""
    steps = {step.id: step for step in plan.steps}
    known = {one.reference: one.value for one in plan.values if one.value is not None}
    wanted = [step for step in plan.steps if isinstance(step.request, TaskservRequest) and not step.traits.removes]
    async with Adapters(settings, clock, Limits(), plan.simulation) as around:
        await around.open_for(plan)
        kept = {
            step.server: (steps[step.server].provider, steps[step.server].ref)
            for step in wanted
            if steps[step.server].ref
        }
        logins = {steps[server].ref: planned_login(steps[server].request) for server in kept}
        ways = await reached_by(around, kept, logins)
        addresses = await _addresses(around, list(kept.values()))
        gate = asyncio.Semaphore(AT_ONCE)

        def target_of(server: Step) -> Target:
            address, way = addresses.get(server.ref, ""), ways.get(server.ref)
            return Target(server.provider, server.ref, server.request.name, address, way)

        async def look(step: Step) -> InstallPreview:
            server = steps[step.server]
            assert isinstance(step.request, TaskservRequest)
            about = (step.id, step.request.name, server.request.name)
            if step.server not in kept:
                return InstallPreview(*about, new=True)
            request = step.request.with_values(known)
            if unknown := sorted(set(request.references) - request.values.keys()):
                when = " and ".join(dict.fromkeys(known_when(Reference(name)) for name in unknown))
                return InstallPreview(*about, new=False, changes=(f"what its values change is {when}",))
            leader = step.request.cluster and step.request.cluster.leader
            leading = target_of(steps[leader]) if leader and leader != step.server else None
            job = TaskservCall(leader=leading, folder=folder)
            async with gate:
                try:
                    changes = await around.runner(server.provider, request.at).preview(request, target_of(server), job)
                except BatchwrightError as error:
                    return InstallPreview(*about, new=False, trouble=error.message)
            return InstallPreview(*about, new=False, changes=changes)

        return tuple(await asyncio.gather(*(look(step) for step in wanted)))


async def _addresses(around: Adapters, servers: Sequence[tuple[str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, provider in around.readers.items():
        refs = [ref for place, ref in servers if place == name]
        if refs:
            found |= {ref: seen.address for ref, seen in (await provider.describe(refs)).items()}
    return found
