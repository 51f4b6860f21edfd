"""The use case behind `destroy`: a run that retires all that an environment has."""

from __future__ import annotations

from msgspec import Struct

from batchwright.app.adapters import Adapters
from batchwright.app.environments import EnvironmentState, environment_state
from batchwright.app.multi_store import Stores
from batchwright.app.planned import Planned
from batchwright.app.preflight import observe
from batchwright.app.settings import Settings
from batchwright.journal.base import Journal
from batchwright.journal.replay import load_run
from batchwright.model.diagnostic import Severity
from batchwright.model.environment import REAL, SIMULATED, EnvironmentKey, digest
from batchwright.model.environment_names import environment_named, full_name
from batchwright.model.plan import Plan
from batchwright.model.workflow import Workflow
from batchwright.operations.base import PortKind
from batchwright.operations.retirement import retiring, unreachable
from batchwright.taskservs.catalogue import load_catalogue


class Doomed(Struct, frozen=True):
    """An environment to be destroyed, with the plan of its newest run, which says how it is reached."""

    journal: Journal
    state: EnvironmentState
    plan: Plan


async def doomed(stores: Stores, name: str, *, simulated: bool | None) -> Doomed:
    """The environment of this name; `simulated` is None if either space will do, or the name says in which it is.

    Raises EnvironmentNotFound, EnvironmentAmbiguous.
    """
    homes: dict[EnvironmentKey, tuple[Journal, str]] = {}
    for journal in await stores.existing():
        for row in await journal.environments():
            if row.key not in homes or not row.store:  # another store's row only says where it went
                homes[row.key] = journal, row.last
    word = (
        name if simulated is None or ":" in name else full_name(EnvironmentKey(SIMULATED if simulated else REAL, name))
    )
    key = environment_named(word, homes)
    journal, last = homes[key]
    return Doomed(journal, await environment_state(journal, key), (await load_run(journal, last)).plan)


async def plan_destruction(settings: Settings, around: Adapters, found: Doomed) -> Planned:
    """The plan that retires everything: servers, with what must leave them first, and the undo of every command.

    What was borrowed is released and stays. Opens the providers in `around`, which carries the plan out too.
    """
    resources = found.state.resources
    borrowed = [one for one in resources if one.borrowed]
    servers = [one for one in resources if not one.server and one.ref and not one.borrowed]
    commands = [one for one in resources if one.request.get("undo")]
    last = found.plan
    names = sorted({one.provider for one in (*servers, *borrowed)})
    await around.open(names, {PortKind.PROVIDER, PortKind.RUNNER, PortKind.LAUNCHER})
    nothing = Workflow(last.workflow, last.version, ())
    observations = await observe(nothing, around.readers, {}, resources, around.clock.now())
    problems = unreachable(observations, servers, {one.key for one in servers})
    if any(one.severity is Severity.ERROR for one in problems):
        return Planned(None, tuple(problems))
    chosen = [*borrowed, *servers, *commands]
    operations, steps = retiring(chosen, (), {}, load_catalogue(settings.catalogues), resources)
    facts = tuple(observations.providers[name].facts for name in names)
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
    )
    return Planned(plan, tuple(problems))
