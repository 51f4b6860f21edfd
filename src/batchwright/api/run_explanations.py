"""Why a run or a step is as it is: the reasons, the card of a step, and the log, which the service searches."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from batchwright.api.admission_control import Bounds
from batchwright.api.openapi import problems
from batchwright.api.run_drawings import At, at_moment, moment_etag
from batchwright.api.run_queries import ONE, RunId
from batchwright.app.run_reader import read_events
from batchwright.model.events import AnyEvent
from batchwright.service.run_feed import RunFeed
from batchwright.service.run_history_cache import RunHistories, RunMoment
from batchwright.service.run_supervisor import RunSupervisor
from batchwright.views.log_pages import CONTEXT_MOST, LIMIT_MOST, LogPage, LogQuery, LogSearch, run_entry, step_log
from batchwright.views.run_why import RunWhy, run_why
from batchwright.views.step_card import StepCard, step_card
from batchwright.views.step_events import step_event_numbers
from batchwright.views.step_explanation import Explanation, explained
from batchwright.views.steps import step_named

EVENTS_SEARCHED = 20_000  # of a whole run, by one request
PAGE = 1_000

AStep = Annotated[
    str, QueryParameter(description="A step's id, or a unique part of one.", min_length=1, max_length=300)
]


@get(ONE + "/why", responses=problems(404, 409), tags=["Drawings"])
async def why(
    supervisor: NamedDependency[RunSupervisor],
    histories: NamedDependency[RunHistories],
    bounds: NamedDependency[Bounds],
    run: RunId,
    at: At = None,
) -> Response[RunWhy]:
    """Why a run does not go on, or what it does: one sentence, and what stands behind it."""
    feed = await supervisor.feeds.find(run)

    def view(seen: RunMoment) -> RunWhy:
        return run_why(seen.run, seen.history, seen.now, seen.around)

    return await at_moment(feed, histories, bounds, at, view)


@get(ONE + "/step", responses=problems(404, 409), tags=["Drawings"])
async def step(
    supervisor: NamedDependency[RunSupervisor],
    histories: NamedDependency[RunHistories],
    bounds: NamedDependency[Bounds],
    run: RunId,
    step: AStep,
    at: At = None,
) -> Response[StepCard]:
    """All about one step: why it is as it is, its attempts, what it needs and what needs it, and what undoes it."""
    feed = await supervisor.feeds.find(run)
    named = step_named(feed.run, step)
    async with histories.moment(feed, at) as seen:
        past = await _events_of(feed, seen, named)
        told = await bounds.in_thread(lambda: step_card(seen.run, seen.history, past, named, seen.now, seen.around))
    return Response(told, headers={"ETag": moment_etag(told.run, told.seq)})


@get(ONE + "/explain", responses=problems(404, 409), tags=["Runs"])
async def explain_step(
    supervisor: NamedDependency[RunSupervisor],
    histories: NamedDependency[RunHistories],
    bounds: NamedDependency[Bounds],
    run: RunId,
    step: AStep,
) -> Explanation:
    """Why a step ran, waited, was skipped, retried or undone."""
    feed = await supervisor.feeds.find(run)
    named = step_named(feed.run, step)
    async with histories.moment(feed) as seen:
        past, now = await _events_of(feed, seen, named), supervisor.clock.now()
        return await bounds.in_thread(lambda: explained(seen.run, seen.history, past, named, now, seen.around))


async def _events_of(feed: RunFeed, seen: RunMoment, step: str) -> list[tuple[int, AnyEvent]]:
    """The events that explain a step: few of those of a large run are read."""
    numbers = step_event_numbers(seen.history, seen.run.step(step), seen.run.seq)
    return [(1, feed.run.created), *await read_events(feed.journal, feed.run.id, numbers)]


@get(ONE + "/log", responses=problems(404, 409), tags=["Drawings"])
async def log(
    supervisor: NamedDependency[RunSupervisor],
    histories: NamedDependency[RunHistories],
    bounds: NamedDependency[Bounds],
    run: RunId,
    at: At = None,
    step: Annotated[
        str | None, QueryParameter(description="Only this step, with its full output.", min_length=1, max_length=300)
    ] = None,
    find: Annotated[
        str, QueryParameter(description="Only lines that hold this text, in any case.", max_length=300)
    ] = "",
    context: Annotated[
        int, QueryParameter(ge=0, le=CONTEXT_MOST, description="Lines to show before and after each match.")
    ] = 0,
    after: Annotated[int, QueryParameter(ge=0, le=2**53, description="Only lines after this number.")] = 0,
    limit: Annotated[int, QueryParameter(ge=1, le=LIMIT_MOST, description="The largest number of lines.")] = 500,
) -> Response[LogPage]:
    """The log of a run, one line per event, or of a step, with its output; numbered, and searched by the service."""
    feed = await supervisor.feeds.find(run)
    query = LogQuery(find, context, after, limit)
    named = step_named(feed.run, step) if step is not None else None
    async with histories.moment(feed, at) as seen:
        if named is None:
            told = await _run_log(feed, seen, query, bounds)
        else:
            i = seen.run.step(named)
            seqs = [seq for seq in seen.history.step_events[i] if seq <= seen.run.seq]
            events = await read_events(feed.journal, feed.run.id, seqs)
            told = await bounds.in_thread(lambda: step_log(seen.history, i, seen.run.seq, events, query))
    return Response(told, headers={"ETag": moment_etag(told.run, told.seq)})


async def _run_log(feed: RunFeed, seen: RunMoment, query: LogQuery, bounds: Bounds) -> LogPage:
    """Search until the page is full, or in EVENTS_SEARCHED events: the next request goes on from there."""
    search, last = LogSearch(query), seen.run.seq
    done = max(0, query.after - query.context)
    end = min(last, done + EVENTS_SEARCHED)
    while done < end and not search.more:
        page = await feed.journal.read(feed.run.id, done, min(PAGE, end - done))
        entries = (run_entry(seq, event) for seq, event in page)
        await bounds.in_thread(partial(search.take, entries))
        done = page[-1][0]
    shown = search.items[-1].n if search.items else 0
    following = shown if search.more else max(shown, done - query.context) if done < last else None
    return LogPage(feed.run.id, "", last, last, None, tuple(search.items), following)


HANDLERS: Sequence[Any] = (why, step, explain_step, log)
