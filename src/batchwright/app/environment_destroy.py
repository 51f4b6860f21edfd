"""The use case behind `destroy`: a run that retires all that an environment has."""

from __future__ import annotations

from msgspec.structs import replace

from batchwright.app.adapters import Adapters
from batchwright.app.borrowed_servers import ended_by_plan, refuse_borrowed
from batchwright.app.environment_reader import EnvironmentHome
from batchwright.app.guardrails import guarded
from batchwright.app.planned import Planned
from batchwright.app.preflight import observe
from batchwright.app.settings import Settings
from batchwright.model.diagnostic import Severity
from batchwright.model.environment import digest
from batchwright.model.plan import Plan
from batchwright.model.workflow import Workflow
from batchwright.operations.base import PortKind
from batchwright.operations.retirement import left_accounts, leftovers, marked_gone, retiring, unreachable
from batchwright.taskservs.catalogue import load_catalogue


async def plan_destruction(settings: Settings, around: Adapters, found: EnvironmentHome) -> Planned:
    """The plan that retires everything: servers, with what must leave them first, and the undo of every command.

    What was borrowed is released and stays. Opens the providers in `around`, which carries the plan out too. Raises
    ServerBorrowed if another environment uses one of the servers.
    """
    resources = found.state.resources
    borrowed = [one for one in resources if one.borrowed]
    servers = [one for one in resources if not one.server and one.ref and not one.borrowed]
    commands = [one for one in resources if one.request.get("undo")]
    last = found.plan
    names = sorted({one.provider for one in (*servers, *borrowed)})
    left = {one.provider for resource in resources for one in resource.leftovers}
    await around.open(sorted({*names, *left}), {PortKind.PROVIDER, PortKind.RUNNER, PortKind.LAUNCHER})
    nothing = Workflow(last.workflow, last.version, ())
    observations = await observe(nothing, around.readers, {}, resources, around.clock.now())
    reached = left_accounts(resources, observations.providers)
    observations = replace(observations, resources=reached.kept)
    resources, servers = reached.kept, [one for one in servers if one in reached.kept]
    commands = [one for one in commands if one in reached.kept]
    names = sorted({one.provider for one in (*servers, *borrowed)})
    problems = [*reached.warnings, *unreachable(observations, servers, {one.key for one in servers})]
    if any(one.severity is Severity.ERROR for one in problems):
        return Planned(None, tuple(problems))
    left_over, lost = leftovers(observations)
    chosen = [*borrowed, *servers, *left_over, *commands]
    operations, steps = retiring(chosen, (), {}, load_catalogue(settings.catalogues), resources)
    steps = marked_gone(steps, observations)
    used = sorted({*names, *(one.provider for one in left_over)})
    facts = tuple(observations.providers[name].facts for name in used)
    plan = Plan(
        workflow=last.workflow,
        version=last.version,
        storage_backend=found.journal.name.removesuffix("-server"),  # the plan may be from before a move
        parallel_limit=last.parallel_limit,
        rollback_enabled=False,
        operations=operations,
        steps=steps,
        providers=facts,
        simulation=last.simulation,
        environment=found.state.key.name,
        base=digest(found.state.resources),
        notify=last.notify,
        left_accounts=reached.accounts,
    )
    await refuse_borrowed(found.journal, found.state.key, ended_by_plan(plan))
    return await guarded(settings, around, Planned(plan, (*problems, *lost)), resources)
