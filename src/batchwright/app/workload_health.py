"""The use case behind `check`: are the task services of a run, and what its checks look at, still well?"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping

from batchwright.app.adapters import Adapters, SharedRunner, SharedWorld
from batchwright.app.catalogue_changes import with_catalogues
from batchwright.app.program_and_secret_allowlist import ProgramAndSecretAllowlist
from batchwright.app.settings import Settings
from batchwright.engine.handler_context import HandlerContext
from batchwright.engine.handlers.check import CheckHandler
from batchwright.engine.limits import Limits
from batchwright.errors import BatchwrightError
from batchwright.model.call_outcome import CheckResult, Rejected
from batchwright.model.clock import Clock
from batchwright.model.ids import base32
from batchwright.model.lifecycle import RunState, StepState
from batchwright.model.plan import Step
from batchwright.model.run import Run
from batchwright.model.ssh_access import ServerLogin, SshAccess
from batchwright.operations.check import CheckRequest
from batchwright.operations.server_login import login_of
from batchwright.operations.taskserv_batch import TaskservRequest
from batchwright.taskservs.base import Target, TaskservCall
from batchwright.views.workload_health import CheckStatus, RunHealth, TaskservStatus, health_of

AT_ONCE = 25  # servers asked at the same time
ONCE_SECONDS = 60.0  # for one look of a check


async def check_run(
    settings: Settings,
    clock: Clock,
    run: Run,
    world: SharedWorld | None = None,
    runner: SharedRunner | None = None,
    allowed: ProgramAndSecretAllowlist | None = None,
) -> RunHealth:
    """Run the checks of every task service that the run installed or kept, and look once at what its checks look at;
    this reads their secrets again.

    Raises ProviderUnavailable, NotAllowed; Forbidden if a client's run needs more than is `allowed`.
    """
    if allowed is not None:
        allowed.check_run(run)
    wanted = [
        step
        for step, record in zip(run.steps, run.records, strict=True)
        if isinstance(step.request, TaskservRequest)
        if record.state is StepState.SUCCEEDED and not step.traits.removes
    ]
    settings = with_catalogues(settings, run.created.inputs, wanted)
    async with Adapters(settings, clock, Limits(), run.plan.simulation, world, runner) as around:
        await around.open_for(run.plan)
        places = {step.id: step.provider for step in run.steps}
        refs = {step.server: run.record(step.server).ref for step in wanted}
        logins = {ref: login_of(run.steps[run.index[server]], run.record(server)) for server, ref in refs.items()}
        ways = await reached_by(around, {server: (places[server], ref) for server, ref in refs.items()}, logins)
        gate = asyncio.Semaphore(AT_ONCE)

        async def look(step: Step) -> TaskservStatus:
            record, server = run.record(step.server), run.steps[run.index[step.server]]
            request = run.request(run.index[step.id])
            assert isinstance(request, TaskservRequest)
            target = Target(server.provider, record.ref, server.request.name, record.address, ways.get(record.ref))
            job = TaskservCall(leader=_leader(run, request, step.server))
            about = (step.id, step.request.name, target.name, target.provider, target.address)
            async with gate:
                try:
                    checks = await around.runner(target.provider, request.at).check(request, target, job)
                except BatchwrightError as error:
                    return TaskservStatus(*about, ok=False, trouble=error.message)
            return TaskservStatus(*about, ok=all(check.ok for check in checks), checks=checks)

        items = asyncio.gather(*(look(step) for step in wanted))
        return health_of(run.id, tuple(await items), await _checks(around, run, gate))


async def _checks(around: Adapters, run: Run, gate: asyncio.Semaphore) -> tuple[CheckStatus, ...]:
    """What the run's checks see now; none once the run was rolled back, since what they looked at is gone."""
    if run.status in (RunState.ROLLING_BACK, RunState.ROLLED_BACK, RunState.ROLLBACK_INCOMPLETE):
        return ()
    wanted = [
        i
        for i, (step, record) in enumerate(zip(run.steps, run.records, strict=True))
        if isinstance(step.request, CheckRequest) and record.state in (StepState.SUCCEEDED, StepState.FAILED)
    ]
    ports = around.readers, around.runners, around.launchers, around.limits, around.clock
    context = HandlerContext(
        run, *ports, _ignored, _ignored, _nobody_drives, key_file=around.key_file, prober=around.prober
    )
    handler = CheckHandler(context)

    async def look(i: int) -> CheckStatus:
        step = run.steps[i]
        mark = base32(os.urandom(16))  # not that of the step: somebody else may be looking too
        async with gate:
            seen = await handler.look(i, min(ONCE_SECONDS, context.timeout(i)), mark=mark)
        if isinstance(seen, Rejected):
            seen = CheckResult("check", False, seen.fault.message)
        server = run.steps[run.index[step.server]].request.name if step.server else ""
        return CheckStatus(step.id, handler.request(i).subject, server, seen.ok, seen.output)

    try:
        return tuple(await asyncio.gather(*(look(i) for i in wanted)))
    finally:
        await context.aclose()


def _ignored(_: object) -> None:
    """There is no machine that hears reports."""


async def _nobody_drives() -> None:
    """A look needs no lease."""


def _leader(run: Run, request: TaskservRequest, server: str) -> Target | None:
    """The first server of the step's cluster, unless it is its own."""
    if request.cluster is None or request.cluster.leader == server:
        return None
    step, record = run.steps[run.index[request.cluster.leader]], run.record(request.cluster.leader)
    return Target(step.provider, record.ref, step.request.name, record.address)


async def reached_by(
    around: Adapters, servers: dict[str, tuple[str, str]], logins: Mapping[str, ServerLogin]
) -> dict[str, SshAccess]:
    """How to log in to these servers, by reference, with one call per provider. `logins` is what runs recorded."""
    found: dict[str, SshAccess] = {}
    for name, provider in around.readers.items():
        refs = [ref for place, ref in servers.values() if place == name]
        if refs:
            found |= await provider.access(refs)
    return {ref: logins.get(ref, ServerLogin()).applied_to(access, around.key_file) for ref, access in found.items()}
