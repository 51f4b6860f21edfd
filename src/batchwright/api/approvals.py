"""Calls about questions to people: what is asked, and the answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from msgspec import Struct

from batchwright.api.authentication import Caller
from batchwright.api.openapi import problems
from batchwright.api.run_queries import ONE, RunId, seen
from batchwright.app.approvals import COMMENT_MAX, AnswerRequest
from batchwright.model.role import Role
from batchwright.service.run_control import RunControl
from batchwright.service.run_supervisor import RunSupervisor
from batchwright.views.approvals import OpenQuestion, open_questions
from batchwright.views.run import RunView

LINES_MOST = 1_000


class QuestionList(Struct, frozen=True):
    """What people are asked, those of the newest run first; `more` if some were left out."""

    items: tuple[OpenQuestion, ...]
    more: bool = False


@get("/v1/approvals", responses=problems(404, 409), tags=["Approvals"])
async def approvals(
    supervisor: NamedDependency[RunSupervisor],
    run: Annotated[
        str, QueryParameter(description="A run's id, the beginning of one, latest, or an environment.", max_length=220)
    ] = "",
) -> QuestionList:
    """What runs ask people now: the question, what a yes lets through, who may answer, and until when."""
    words = [run] if run else [row.run for row in await supervisor.summaries() if row.asks]
    found = [one for word in words[:LINES_MOST] for one in open_questions((await supervisor.feeds.find(word)).run)]
    return QuestionList(tuple(found[:LINES_MOST]), len(words) > LINES_MOST or len(found) > LINES_MOST)


ANSWER: dict[str, Any] = {
    "status_code": 202,
    "opt": {"role": Role.OPERATOR},
    "responses": problems(404, 409),
    "tags": ["Approvals"],
}
StepName = Annotated[
    str, QueryParameter(description="The step that asks; may be left out if the run asks one question.", max_length=300)
]
Comment = Annotated[str, QueryParameter(description="Why, for everybody who looks at the run.", max_length=COMMENT_MAX)]
Hash = Annotated[
    str,
    QueryParameter(
        description="The `hash` of the question as it was shown; refused with `approval-outdated` if it has changed.",
        min_length=1,
        max_length=64,
    ),
]
Ask = Annotated[int, QueryParameter(description="The `ask` of the question as it was shown.", ge=1, le=10**9)]


async def _answer(
    request: Request[Any, Any, Any], supervisor: RunSupervisor, run: str, given: AnswerRequest
) -> Response[RunView]:
    caller: Caller = request.scope["state"]["caller"]
    request.scope["state"]["run"] = run
    feed = await RunControl(supervisor).answer(run, given, caller.principal)
    request.scope["state"]["run"] = feed.run.id
    return seen(feed, 202)


@post(ONE + "/approve", **ANSWER)
async def approve(
    request: Request[Any, Any, Any],
    supervisor: NamedDependency[RunSupervisor],
    run: RunId,
    hash: Hash,  # noqa: A002 - the name of the parameter
    ask: Ask,
    step: StepName = "",
    comment: Comment = "",
) -> Response[RunView]:
    """Say yes to a question of a run. The same answer may be sent again; it cannot be changed."""
    return await _answer(request, supervisor, run, AnswerRequest(True, step, comment, hash, ask))


@post(ONE + "/refuse", **ANSWER)
async def refuse(
    request: Request[Any, Any, Any],
    supervisor: NamedDependency[RunSupervisor],
    run: RunId,
    hash: Hash,  # noqa: A002 - the name of the parameter
    ask: Ask,
    step: StepName = "",
    comment: Comment = "",
) -> Response[RunView]:
    """Say no to a question of a run: what is behind it does not run. The first no decides."""
    return await _answer(request, supervisor, run, AnswerRequest(False, step, comment, hash, ask))


HANDLERS: Sequence[Any] = (approvals, approve, refuse)
