"""Calls that rehearse a workflow: start one, ask how far it is, cancel it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from litestar import Request, Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import PathParameter, QueryParameter
from msgspec import Meta

from batchwright.api.admission_control import RateLimits
from batchwright.api.openapi import NAME_OR_NOTHING, WorkflowBodyOperation, problems
from batchwright.api.submissions import EnvironmentName, Retire, submission_of, take_place
from batchwright.model.role import Role
from batchwright.service.rehearsal_worker import RehearsalJob
from batchwright.service.rehearsals import SECONDS_MOST, Rehearsal
from batchwright.service.run_supervisor import RunSupervisor

REHEARSALS = "/v1/rehearsals"
ONE = REHEARSALS + "/{rehearsal:str}"
Name = Annotated[str, PathParameter(description="The rehearsal's `id`.", pattern="^[0-9a-f]{16}$")]


@post(
    REHEARSALS,
    status_code=202,
    opt={"role": Role.OPERATOR},
    operation_class=WorkflowBodyOperation,
    responses=problems(413, 415, 422, 429),
    tags=["Workflows"],
)
async def rehearse(
    request: Request[Any, Any, Any],
    supervisor: NamedDependency[RunSupervisor],
    rates: NamedDependency[RateLimits],
    environment: EnvironmentName = "",
    retire: Retire = False,
    faults: Annotated[
        list[Annotated[str, Meta(pattern="^[a-z_]{1,40}$")]] | None,
        QueryParameter(description="Only this fault. May be repeated."),
    ] = None,
    seconds: Annotated[
        float, QueryParameter(description="How long it may explore, at most.", ge=1, le=SECONDS_MOST)
    ] = 30.0,
    seed: Annotated[int, QueryParameter(description="What is random comes from this number.", ge=0, le=2**31)] = 1,
    at: Annotated[str, QueryParameter(description="Only this point, as a report names it.", max_length=500)] = "",
    against: Annotated[
        str,
        QueryParameter(description="Begin with what this environment has; it is only read.", pattern=NAME_OR_NOTHING),
    ] = "",
) -> Response[Rehearsal]:
    """Carry a workflow through crashes and faults in a simulated world. Nothing real is contacted or changed.

    It goes on as long as somebody asks for it at least twice a minute, and its result is kept for an hour.
    """
    caller = take_place(request, rates)
    submission = await submission_of(request, caller, True, environment=environment, retire=retire)
    loaded = await supervisor.desk.check(submission)
    assert loaded.workflow is not None
    job = RehearsalJob(
        submission.text,
        submission.name,
        str(supervisor.settings.state_dir),
        tuple(str(folder) for folder in supervisor.settings.catalogues),
        environment=environment,
        retire=retire,
        faults=tuple(faults or ()),
        seconds=seconds,
        seed=seed,
        at=at,
        against=against,
    )
    told = supervisor.rehearsals.begin(job, loaded.workflow.name, caller.name)
    return Response(told, headers={"Location": told.id}, status_code=202)


@get(ONE, opt={"role": Role.OPERATOR}, responses=problems(404), tags=["Workflows"])
async def rehearsal(supervisor: NamedDependency[RunSupervisor], rehearsal: Name) -> Rehearsal:
    """How far a rehearsal is; once it has finished, its report."""
    return supervisor.rehearsals.find(rehearsal)


@delete(ONE, status_code=200, opt={"role": Role.OPERATOR}, responses=problems(404), tags=["Workflows"])
async def cancel_rehearsal(supervisor: NamedDependency[RunSupervisor], rehearsal: Name) -> Rehearsal:
    """End a rehearsal that is running."""
    return await supervisor.rehearsals.cancel(rehearsal)


HANDLERS: Sequence[Any] = (rehearse, rehearsal, cancel_rehearsal)
