"""Calls that answer questions about a run within a budget of tokens."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import PathParameter, QueryParameter
from msgspec import Struct
from msgspec.structs import replace

from batchwright.agents.roles.base import AgentAnswer, Subject
from batchwright.agents.roles.registry import BUNDLES, ROLES, answered, events_wanted, roles_named
from batchwright.agents.slices.base import Slice
from batchwright.agents.slices.plan_source import PlanSource
from batchwright.agents.slices.registry import SLICES, run_slice, slice_kind
from batchwright.agents.slices.run_source import RunSource
from batchwright.agents.slices.token_budget import LEAST_BUDGET, MOST_BUDGET
from batchwright.api import openapi
from batchwright.api.admission_control import Bounds
from batchwright.api.openapi import problems
from batchwright.api.run_drawings import At, moment_etag
from batchwright.api.run_queries import ONE, RunId
from batchwright.app.slice_sources import Wanted, earlier_run, wanted_events, with_events
from batchwright.errors import UsageError
from batchwright.service.run_history_cache import RunHistories, RunMoment
from batchwright.service.run_supervisor import RunSupervisor

AGENTS = "/v1/agents"
QUERY_MOST = 500  # characters
Asked = Annotated[
    str, QueryParameter(description="What is asked, as docs/agents.md says for each kind.", max_length=QUERY_MOST)
]
Budget = Annotated[
    int | None,
    QueryParameter(ge=LEAST_BUDGET, le=MOST_BUDGET, description="The most tokens of the answer; without it the usual."),
]


def _source(seen: RunMoment) -> RunSource:
    return RunSource(seen.run, seen.history, seen.now, seen.around)


@asynccontextmanager
async def slice_source(
    supervisor: RunSupervisor,
    histories: RunHistories,
    bounds: Bounds,
    run: str,
    at: int | None,
    wanted: Sequence[Wanted],
) -> AsyncIterator[RunSource]:
    """What these slices of a run are made from; it does not change before the end of the block."""
    feed = await supervisor.feeds.find(run)
    async with histories.moment(feed, at) as seen:
        seqs = await bounds.in_thread(lambda: wanted_events(wanted, seen.run, seen.history))
        source = await with_events(feed.journal, _source(seen), seqs)
        row = None
        if any(slice_kind(kind).compares for kind, _ in wanted):
            row = await earlier_run(supervisor.stores, seen.run)
        if row is None:
            yield source
            return
        async with histories.moment(await supervisor.feeds.find(row.run)) as before:
            yield replace(source, earlier=_source(before))


@get(ONE + "/slices/{kind:str}", responses=problems(404, 409), tags=["Agents"])
async def run_slices(
    supervisor: NamedDependency[RunSupervisor],
    histories: NamedDependency[RunHistories],
    bounds: NamedDependency[Bounds],
    run: RunId,
    kind: Annotated[str, PathParameter(description=f"One of: {', '.join(SLICES)}.", max_length=40)],
    ask: Asked = "",
    budget: Budget = None,
    at: At = None,
) -> Response[Slice]:
    """Facts about a run for one question, as lines of text within a budget of tokens, and what was left out."""
    slice_kind(kind)
    async with slice_source(supervisor, histories, bounds, run, at, [(kind, ask)]) as source:
        told = await bounds.in_thread(lambda: run_slice(kind, source, ask, budget or 0))
    return Response(told, headers={"ETag": moment_etag(told.run, told.as_of_seq)})


class RoleLine(Struct, frozen=True):
    """One role: what it answers, what it reads, and its usual budget in tokens."""

    name: str
    question: str
    subject: Subject
    budget: int


class RolesAnswer(Struct, frozen=True):
    """The roles, and the bundles of roles that are asked together."""

    roles: tuple[RoleLine, ...]
    bundles: dict[str, tuple[str, ...]]


@get(AGENTS, tags=["Agents"], sync_to_thread=False)
def list_roles() -> RolesAnswer:
    """Who can be asked what."""
    lines = tuple(RoleLine(one.name, one.question, one.subject, one.budget) for one in ROLES.values())
    return RolesAnswer(lines, BUNDLES)


@get(AGENTS + "/{role:str}", responses=problems(404, 409), tags=["Agents"])
async def ask_role(
    supervisor: NamedDependency[RunSupervisor],
    histories: NamedDependency[RunHistories],
    bounds: NamedDependency[Bounds],
    role: Annotated[str, PathParameter(description="A role or a bundle.", max_length=40)],
    run: Annotated[str, QueryParameter(description=openapi.RUN_ID, max_length=200)],
    ask: Asked = "",
    budget: Budget = None,
    at: At = None,
) -> AgentAnswer:
    """What a role, or each role of a bundle, says: a summary, findings with evidence, and what could be done."""
    subject = roles_named(role)[0].subject
    if subject not in (Subject.RUN, Subject.PLAN):
        raise UsageError(f"{role} reads no run", hint=f"Ask it on the command line: batchwright ask {role}")
    async with slice_source(supervisor, histories, bounds, run, at, events_wanted(role, ask)) as source:
        seen = PlanSource(source.run.id, source.run.plan) if subject is Subject.PLAN else source
        return await bounds.in_thread(lambda: answered(role, seen, ask, budget or 0))


HANDLERS: Sequence[Any] = (run_slices, list_roles, ask_role)
