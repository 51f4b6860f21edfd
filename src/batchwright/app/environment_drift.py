"""The use case behind `drift`: does everything that an environment has still look as its runs asked for? Read-only."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from msgspec.structs import replace

from batchwright.app.adapters import Adapters, SharedRunner, SharedWorld
from batchwright.app.environment_reader import EnvironmentHome, find_home
from batchwright.app.multi_store import Stores
from batchwright.app.preflight import observe_provider
from batchwright.app.program_and_secret_allowlist import ProgramAndSecretAllowlist
from batchwright.app.server_request_resolution import ServerQuestions
from batchwright.app.settings import Settings
from batchwright.app.workload_health import AT_ONCE, reached_by
from batchwright.engine.limits import Limits
from batchwright.errors import BatchwrightError
from batchwright.journal.environment_state import runs_of
from batchwright.journal.replay import load_run
from batchwright.model.clock import Clock
from batchwright.model.diagnostic import Severity
from batchwright.model.environment import SIMULATED, Resource
from batchwright.model.plan import Request
from batchwright.operations.base import PortKind
from batchwright.operations.observations import ProviderObserved
from batchwright.operations.registry import dec_hook
from batchwright.operations.retirement import left_accounts
from batchwright.operations.server_login import recorded_login
from batchwright.operations.taskserv_batch import TaskservRequest
from batchwright.taskservs.base import Target, TaskservCall
from batchwright.views.drift import (
    SERVER,
    TASKSERV,
    DriftItem,
    DriftState,
    EnvironmentDrift,
    environment_drift,
    is_ready,
    left_items,
    orphans,
    server_items,
)


async def find_drift(
    settings: Settings,
    stores: Stores,
    clock: Clock,
    name: str,
    world: SharedWorld | None = None,
    runner: SharedRunner | None = None,
    allowed: ProgramAndSecretAllowlist | None = None,
) -> EnvironmentDrift:
    """Compare an environment's servers and task services with what its runs asked for; this reads their secrets again.

    Raises EnvironmentNotFound, EnvironmentAmbiguous; SecretRefused if a client's run needs more than is `allowed`.
    """
    home = await find_home(stores, name, simulated=None)
    resources = home.state.resources
    if allowed is not None:
        for run in sorted({one.changed_by for one in resources if one.kind == TASKSERV and one.changed_by}):
            allowed.check_run(await load_run(home.journal, run))
    async with Adapters(settings, clock, Limits(), home.plan.simulation, world, runner) as around:
        places = {one.provider for one in resources if one.provider}
        places |= {left.provider for one in resources for left in one.leftovers}
        await around.open(sorted(places), {PortKind.PROVIDER, PortKind.RUNNER})
        seen, troubles = await _observed(around, resources)
        reached = left_accounts(resources, seen)
        servers = server_items(reached.kept, seen, troubles)
        known = {one.name: one for one in servers if one.kind == SERVER}
        services = await _services(around, reached.kept, seen, known)
    row = home.state.row
    changing = row.tenant if row is not None else ""
    extra = () if changing else orphans(resources, seen, await _own_runs(home))
    today = datetime.fromtimestamp(clock.now(), UTC).date()
    return environment_drift(
        home.state.key.name,
        simulated=home.state.key.space == SIMULATED,
        run=row.last if row is not None else "",
        changing=changing,
        at=clock.now(),
        items=tuple(
            one.judged(home.plan.accepted, today) for one in (*servers, *left_items(reached.left), *services, *extra)
        ),
    )


async def _own_runs(home: EnvironmentHome) -> frozenset[str]:
    return frozenset(one.run for one in await runs_of(home.journal, home.state.key))


async def _observed(
    around: Adapters, resources: Sequence[Resource]
) -> tuple[dict[str, ProviderObserved], dict[str, str]]:
    """What each provider shows, and why the others show nothing."""
    troubles = {name: error.message for name, error in around.troubles.items()}
    answers = await asyncio.gather(
        *(
            observe_provider(name, provider, None, ServerQuestions(), resources, around.clock.now())
            for name, provider in around.readers.items()
        )
    )
    seen: dict[str, ProviderObserved] = {}
    for name, (observed, problems) in zip(around.readers, answers, strict=True):
        errors = [one.message for one in problems if one.severity is Severity.ERROR]
        if observed is None or errors:
            troubles[name] = "; ".join(errors)
        else:
            seen[name] = observed
    return seen, troubles


async def _services(
    around: Adapters,
    resources: Sequence[Resource],
    seen: Mapping[str, ProviderObserved],
    servers: Mapping[str, DriftItem],
) -> list[DriftItem]:
    """Each task service on a server that is there, with its checks and what an install would change."""
    by_name = {one.name: one for one in resources if not one.server}
    there = {
        name: (one.provider, one.ref)
        for name, one in by_name.items()
        if one.provider in seen and is_ready(seen[one.provider].recorded.get(one.ref))
    }
    wanted = [one for one in resources if one.kind == TASKSERV]
    logins = {one.ref: recorded_login(one) for one in by_name.values()}
    ways = await reached_by(around, {one.server: there[one.server] for one in wanted if one.server in there}, logins)
    gate = asyncio.Semaphore(AT_ONCE)

    def target_of(name: str) -> Target:
        provider, ref = there[name]
        return Target(provider, ref, name, seen[provider].recorded[ref].address, ways.get(ref))

    async def look(one: Resource) -> DriftItem:
        item = DriftItem(TASKSERV, one.name, DriftState.UNKNOWN, one.server, by_name[one.server].provider, one.ref)
        if one.server not in there:
            server = servers.get(one.server)
            why = server.trouble if server is not None and server.trouble else "it is not ready"
            return replace(item, trouble=f"its server: {why}")
        request: Request = dec_hook(Request, one.request)
        assert isinstance(request, TaskservRequest)
        leader = request.cluster.leader.rpartition("/")[2] if request.cluster is not None else one.server
        job = TaskservCall(leader=target_of(leader) if leader != one.server and leader in there else None)
        target = target_of(one.server)
        async with gate:
            try:
                runner = around.runner(target.provider, request.at)
                changes = await runner.preview(request, target, job)
                checks = await runner.check(request, target, job)
            except BatchwrightError as error:
                return replace(item, trouble=error.message)
        failed = tuple(check for check in checks if not check.ok)
        state = DriftState.DRIFTED if changes or failed else DriftState.SAME
        return replace(item, state=state, changes=changes, failed_checks=failed)

    return list(await asyncio.gather(*(look(one) for one in wanted)))
