"""The call that submits a workflow, and how a workflow is read from a request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.params import HeaderParameter, QueryParameter
from msgspec import Meta

from batchwright.api.admission_control import RateLimits
from batchwright.api.authentication import Caller
from batchwright.api.openapi import (
    KEY_PATTERN,
    NAME_OR_NOTHING,
    SETTING_PATTERN,
    TEXT_TYPES,
    WHOLE_NAME,
    WorkflowBodyOperation,
    problems,
)
from batchwright.api.run_queries import etag
from batchwright.app import key_values
from batchwright.errors import BodyUnreadable, MediaTypeUnknown
from batchwright.model.role import Role
from batchwright.service.run_supervisor import RunSupervisor
from batchwright.service.submissions import Submission
from batchwright.views.run import RunView

Simulate = Annotated[bool, QueryParameter(description="Simulate every provider: create nothing real.")]
Sim = Annotated[
    list[Annotated[str, Meta(pattern=SETTING_PATTERN)]] | None,
    QueryParameter(description="A setting of the simulation, `key=value`; implies `simulate`. May be repeated."),
]
PlanHash = Annotated[
    str, QueryParameter(description="Refuse any plan with a different hash.", pattern="^([0-9a-f]{16})?$")
]
Wait = Annotated[
    float,
    QueryParameter(description="Wait so many seconds while another run is changing the environment.", ge=0, le=3600),
]
EnvironmentName = Annotated[
    str,
    QueryParameter(
        description="Which environment of the workflow, instead of the one it names.", pattern=NAME_OR_NOTHING
    ),
]
Retire = Annotated[bool, QueryParameter(description="Destroy what the workflow no longer asks for, last of all.")]
Reinstall = Annotated[
    list[Annotated[str, Meta(pattern=WHOLE_NAME)]] | None,
    QueryParameter(
        description="A task service, a server for all that is on it, or `all`: installed again although nothing "
        "changed. May be repeated."
    ),
]
Key = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key", description="The same key and body give the same run.", pattern=KEY_PATTERN
    ),
]


@post(
    "/v1/workflows/batch/submit",
    status_code=202,
    opt={"role": Role.OPERATOR},
    operation_class=WorkflowBodyOperation,
    responses=problems(409, 413, 415, 422, 429),
    tags=["Workflows"],
)
async def submit(
    request: Request[Any, Any, Any],
    supervisor: NamedDependency[RunSupervisor],
    rates: NamedDependency[RateLimits],
    simulate: Simulate = False,
    sim: Sim = None,
    plan_hash: PlanHash = "",
    wait: Wait = 0.0,
    environment: EnvironmentName = "",
    retire: Retire = False,
    reinstall: Reinstall = None,
    key: Key = None,
) -> Response[RunView]:
    """Check, plan, record and start a run. 409 `environment-busy` while another run is changing the environment."""
    caller = take_place(request, rates)
    submission = await submission_of(
        *(request, caller, simulate, sim, plan_hash, key or ""),
        wait=wait,
        environment=environment,
        retire=retire,
        reinstall=reinstall,
    )
    feed, new = await supervisor.submit(submission)
    run_id = request.scope["state"]["run"] = feed.run.id
    headers = {"Location": run_id, "ETag": etag(feed)}
    if not new:
        headers["Idempotency-Replayed"] = "true"
    return Response(feed.view(), headers=headers, status_code=202)


def take_place(request: Request[Any, Any, Any], rates: RateLimits) -> Caller:
    """The caller, unless it submits too often. Raises TooManyRequests."""
    caller: Caller = request.scope["state"]["caller"]
    rates.take_place(caller.name)
    return caller


async def submission_of(
    request: Request[Any, Any, Any],
    caller: Caller,
    simulate: bool = False,
    sim: Sequence[str] | None = None,
    plan_hash: str = "",
    key: str = "",
    *,
    wait: float = 0.0,
    environment: str = "",
    retire: bool = False,
    reinstall: Sequence[str] | None = None,
) -> Submission:
    """The submission in a request. Raises BodyUnreadable, MediaTypeUnknown, UsageError."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and kind not in TEXT_TYPES:
        raise MediaTypeUnknown(f"the media type {kind or 'unknown'} is not supported")
    if (coding := request.headers.get("content-encoding", "identity").strip().lower()) != "identity":
        raise MediaTypeUnknown(f"the encoding {coding!r} is not supported", hint="Send it without an encoding.")
    try:
        text = (await request.body()).decode()
    except UnicodeDecodeError as error:
        raise BodyUnreadable("the body is not UTF-8 text") from error
    simulation = key_values.settings_of("sim", sim) if simulate or sim else None
    name = "workflow" + (".json" if kind == "application/json" else TEXT_TYPES[kind])
    return Submission(
        *(text, name, simulation, plan_hash, key),
        commands=caller.commands,
        by=caller.name,
        wait=wait,
        environment=environment,
        retire=retire,
        reinstall=tuple(reinstall or ()),
        principal=caller.principal.id,
    )
