"""Calls that act on a run: pause, resume, cancel, roll back, run its checks, sweep its orphans."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import HeaderParameter, QueryParameter
from msgspec import Meta

from batchwright.api import openapi
from batchwright.api.authentication import Caller
from batchwright.api.openapi import problems
from batchwright.api.run_queries import ONE, RunId, etag, seen
from batchwright.app.guardrails import refuse_destroyed, token_limits
from batchwright.app.orphan_sweep import GcResult, sweep_orphans
from batchwright.app.workload_health import check_run
from batchwright.engine.manual_resolution import NO_ANSWERS, ResumeAnswers, ResumeQuestions, resume_questions
from batchwright.model.lifecycle import RUN_ENDED
from batchwright.model.role import Role
from batchwright.model.run_signal import SignalKind
from batchwright.service.run_control import RunControl
from batchwright.service.run_supervisor import RunSupervisor
from batchwright.views.run import RunView
from batchwright.views.workload_health import RunHealth

StepWord = Annotated[str, Meta(min_length=1, max_length=300)]
OutputText = Annotated[str, Meta(min_length=2, max_length=66_000)]


Match = Annotated[
    str | None,
    HeaderParameter(name="If-Match", pattern=openapi.MATCH_PATTERN, description="The ETag of the expected state."),
]


@post(
    ONE + "/checks", status_code=200, responses=problems(404, 409, 503), opt={"role": Role.OPERATOR}, tags=["Actions"]
)
async def checks(request: Request[Any, Any, Any], supervisor: NamedDependency[RunSupervisor], run: RunId) -> RunHealth:
    """Run the health checks of all task services that the run has installed, and look at what its checks look at."""
    feed = await supervisor.feeds.find(run)
    request.scope["state"]["run"] = feed.run.id
    around = supervisor.world, supervisor.runner, supervisor.allowed
    return await check_run(supervisor.settings, supervisor.clock, feed.run, *around)


@post(
    ONE + "/gc", status_code=200, responses=problems(404, 409, 422, 503), opt={"role": Role.OPERATOR}, tags=["Actions"]
)
async def gc(
    request: Request[Any, Any, Any],
    supervisor: NamedDependency[RunSupervisor],
    run: RunId,
    remove: Annotated[bool, QueryParameter(description="Remove the orphans.")] = False,
) -> GcResult:
    """Repeat the closing sweep of an ended run: find what has its label but is not in its journal."""
    own = request.scope["state"]["run"] = (await supervisor.feeds.find(run, destroys=remove)).run.id
    around = supervisor.settings, supervisor.stores, supervisor.clock
    caller: Caller = request.scope["state"]["caller"]
    limits = await asyncio.to_thread(token_limits, supervisor.settings, caller.principal.id)
    if remove and limits.destroys is not None:
        found = await sweep_orphans(*around, own, supervisor.world, remove=False)
        gone = [one.ref for one in found.strays]
        await asyncio.to_thread(refuse_destroyed, supervisor.settings, caller.principal.id, gone, f"run {own}")
    return await sweep_orphans(*around, own, supervisor.world, remove=remove)


ACTION: dict[str, Any] = {
    "status_code": 202,
    "opt": {"role": Role.OPERATOR},
    "responses": problems(404, 409, 412, 422, 429),
    "tags": ["Actions"],
}


async def _act(
    request: Request[Any, Any, Any],
    supervisor: RunSupervisor,
    run: str,
    kind: SignalKind | None,
    match: str | None,
    answers: ResumeAnswers = NO_ANSWERS,
) -> Response[RunView]:
    caller: Caller = request.scope["state"]["caller"]
    request.scope["state"]["run"] = run
    agrees = lambda feed: match in (None, "*", etag(feed))  # noqa: E731
    feed = await RunControl(supervisor).act(run, kind, caller.principal, agrees, answers)
    request.scope["state"]["run"] = feed.run.id
    return seen(feed, 202)


@post(ONE + "/pause", **ACTION)
async def pause(
    request: Request[Any, Any, Any], supervisor: NamedDependency[RunSupervisor], run: RunId, match: Match = None
) -> Response[RunView]:
    """Start no new steps; steps in flight finish."""
    return await _act(request, supervisor, run, SignalKind.PAUSE, match)


@post(ONE + "/resume", **ACTION)
async def resume(
    request: Request[Any, Any, Any],
    supervisor: NamedDependency[RunSupervisor],
    run: RunId,
    match: Match = None,
    redo: Annotated[
        list[StepWord] | None, QueryParameter(description="A command in doubt to run again; may be repeated.")
    ] = None,
    skip: Annotated[
        list[StepWord] | None, QueryParameter(description="A command in doubt to mark as done; may be repeated.")
    ] = None,
    forget: Annotated[
        list[StepWord] | None,
        QueryParameter(
            description="A lane whose provider is gone for good: give up its calls of unknown outcome, so that the "
            "next run of the environment may begin. The run is not continued. May be repeated."
        ),
    ] = None,
    output: Annotated[
        list[OutputText] | None,
        QueryParameter(
            description="What a skipped command gave, as KEY=VALUE, or OPERATION.KEY=VALUE if several are skipped; may "
            "be repeated."
        ),
    ] = None,
) -> Response[RunView]:
    """Continue a paused run, or the unfinished steps of a Failed or Cancelled one."""
    answers = ResumeAnswers(redo or (), skip or (), forget or (), output or ())
    return await _act(request, supervisor, run, SignalKind.RESUME, match, answers)


@get(ONE + "/resume", responses=problems(404, 409), tags=["Actions"])
async def what_resume_asks(supervisor: NamedDependency[RunSupervisor], run: RunId) -> ResumeQuestions:
    """What a person has to decide when the run is resumed; empty while a process drives it."""
    feed = await supervisor.feeds.find(run)
    if feed.around().driven and feed.run.status not in RUN_ENDED:
        return ResumeQuestions(feed.run.id, (), ())
    return resume_questions(feed.run)


@post(ONE + "/cancel", **ACTION)
async def cancel(
    request: Request[Any, Any, Any],
    supervisor: NamedDependency[RunSupervisor],
    run: RunId,
    match: Match = None,
    force: Annotated[bool, QueryParameter(description="Do not wait for calls in flight.")] = False,
) -> Response[RunView]:
    """End a run once the calls in flight have finished. What it created stays until a rollback."""
    return await _act(request, supervisor, run, SignalKind.FORCE_CANCEL if force else SignalKind.CANCEL, match)


@post(ONE + "/rollback", **ACTION)
async def rollback(
    request: Request[Any, Any, Any], supervisor: NamedDependency[RunSupervisor], run: RunId, match: Match = None
) -> Response[RunView]:
    """Undo what a run created and changed, and only that, in reverse order."""
    return await _act(request, supervisor, run, None, match)


HANDLERS: Sequence[Any] = (checks, gc, pause, resume, what_resume_asks, cancel, rollback)
