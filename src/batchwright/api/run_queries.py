"""Calls that look at runs and follow them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated, Any

from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.params import HeaderParameter, PathParameter, QueryParameter
from msgspec import Meta, Struct
from msgspec.structs import asdict

from batchwright.api import openapi
from batchwright.api.admission_control import Bounds
from batchwright.api.authentication import Authenticator, Caller
from batchwright.api.openapi import EventStreamOperation, RepeatableQueryOperation, problems
from batchwright.api.progress import EVENT_STREAM, EventStream, record
from batchwright.app.rollback_impact import planned_undo
from batchwright.app.run_reader import history
from batchwright.client.base import RunRow, run_row
from batchwright.engine.rollback_preview import PlannedUndo
from batchwright.errors import UsageError
from batchwright.model.run_summary import RunSummary
from batchwright.service.health import HealthMonitor, ServiceHealth
from batchwright.service.run_feed import RunFeed
from batchwright.service.run_supervisor import RunSupervisor
from batchwright.views.events import numbered_line
from batchwright.views.logs import StepLog, log_text
from batchwright.views.run import RunView
from batchwright.views.run_list import matching, state_named
from batchwright.views.stats_over_runs import Stats, stats_view
from batchwright.views.steps import ServerLine, servers, step_named
from batchwright.views.text_format import span

RUNS = "/v1/workflows/batch"
ONE = RUNS + "/{run:str}"
SERVERS_MAX = 100_000

RunId = Annotated[str, PathParameter(description=openapi.RUN_ID, max_length=200)]
Since = Annotated[
    str | None, QueryParameter(description="Created within: 90s, 30m, 24h, 7d.", pattern=openapi.SPAN_PATTERN)
]
After = Annotated[int, QueryParameter(ge=0, le=2**53, description="Only events after this number.")]
Limit = Annotated[int, QueryParameter(ge=1, le=1_000, description="The largest number of entries.")]


class RunPage(Struct, frozen=True):
    """Runs, newest first. `next_cursor` leads to the next page; None if there is none."""

    items: tuple[RunRow, ...]
    next_cursor: str | None


class EventPage(Struct, frozen=True):
    """Events in order, each with `run`, `seq`, `type`, `at`, its own fields and `line`. `next_after` leads to the next
    page.
    """

    items: list[dict[str, Any]]
    next_after: int | None


class RollbackPreview(Struct, frozen=True):
    """What a rollback would do, in order."""

    run: str
    undo: tuple[PlannedUndo, ...]


class RunServers(Struct, frozen=True):
    """The servers of one run that exist, those it made first."""

    run: str
    items: tuple[ServerLine, ...]


class ServiceStats(Stats, frozen=True):
    """Statistics over all runs, and the health of the service."""

    service: ServiceHealth


def etag(feed: RunFeed) -> str:
    """The ETag of a run's state: it changes with every durable event."""
    return f'"{feed.run.id}-{feed.seq}"'


def seen(feed: RunFeed, status_code: int = 200) -> Response[RunView]:
    """The view of a run with its ETag."""
    return Response(feed.view(), headers={"ETag": etag(feed)}, status_code=status_code)


# -- many -----------------------------------------------------------------------------------------------------------


@get(RUNS, responses=problems(404), operation_class=RepeatableQueryOperation, tags=["Runs"])
async def list_runs(
    supervisor: NamedDependency[RunSupervisor],
    status: Annotated[
        list[Annotated[str, Meta(pattern=openapi.STATUS_PATTERN)]] | None,
        QueryParameter(description="Only runs with this status, in any case; may be repeated."),
    ] = None,
    name: Annotated[str, QueryParameter(description="Only workflows whose name contains this.", max_length=200)] = "",
    since: Since = None,
    environment: Annotated[
        str,
        QueryParameter(
            description="Only runs of this environment: its name, also after `real:` or `simulated:`.", max_length=200
        ),
    ] = "",
    limit: Limit = 50,
    cursor: Annotated[
        str | None, QueryParameter(description="The next_cursor of the previous page.", pattern=openapi.CURSOR_PATTERN)
    ] = None,
) -> RunPage:
    """Runs, newest first. Following `next_cursor` neither skips nor repeats a run, even while runs are added."""
    states = [state_named(word) for word in status or ()]
    rows = await supervisor.summaries()
    earliest = supervisor.clock.now() - span(since) if since else 0.0
    past = _place_of(cursor) if cursor else (float("-inf"), "")
    found = matching(rows, states, name, environment)
    wanted = [row for row in found if row.created_at >= earliest and (-row.created_at, row.run) > past]
    page = tuple(wanted[:limit])
    listed = [run_row(row, driven=await supervisor.is_driven(row)) for row in page]
    return RunPage(tuple(listed), _cursor(page[-1]) if len(wanted) > limit else None)


def _cursor(row: RunSummary) -> str:
    return base64.urlsafe_b64encode(f"{row.created_at!r}:{row.run}".encode()).decode().rstrip("=")


def _place_of(cursor: str) -> tuple[float, str]:
    try:
        at, colon, run = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().partition(":")
        if not colon:
            raise ValueError(cursor)
        return -float(at), run
    except (ValueError, binascii.Error) as error:
        raise UsageError("this cursor is not from this service", hint="Start again without a cursor.") from error


@get(RUNS + "/stats", responses=problems(), tags=["Runs"])
async def stats(
    supervisor: NamedDependency[RunSupervisor], monitor: NamedDependency[HealthMonitor], since: Since = None
) -> ServiceStats:
    """Statistics over all runs: outcomes, durations, and retries and throttling per provider."""
    earliest = supervisor.clock.now() - span(since) if since else 0.0
    view = stats_view(await supervisor.summaries(), max(0.0, earliest))
    return ServiceStats(**asdict(view), service=monitor.health())


# -- one ------------------------------------------------------------------------------------------------------------


@get(ONE, responses=problems(404, 409), tags=["Runs"])
async def status(supervisor: NamedDependency[RunSupervisor], run: RunId) -> Response[RunView]:
    """A run: what is done, running, waiting (and why) and failed, and what to do next."""
    return seen(await supervisor.feeds.find(run))


@get(ONE + "/progress", responses=problems(404, 409), operation_class=EventStreamOperation, tags=["Runs"])
async def progress(
    request: Request[Any, Any, Any],
    supervisor: NamedDependency[RunSupervisor],
    bounds: NamedDependency[Bounds],
    access: NamedDependency[Authenticator],
    run: RunId,
    last: Annotated[
        int | None,
        HeaderParameter(
            name="Last-Event-ID", ge=0, le=2**53, description="Continue after this event, without a snapshot."
        ),
    ] = None,
) -> Response[RunView]:
    """A run now; with `Accept: text/event-stream` a snapshot, then every event as it becomes durable."""
    feed = await supervisor.feeds.find(run)
    if EVENT_STREAM not in request.headers.get("accept", ""):
        return seen(feed)
    if last is not None and last > feed.seq:
        raise UsageError(f"run {feed.run.id} has no event {last} yet", hint="Connect without Last-Event-ID.")
    bounds.refuse_reader(supervisor.feeds.readers)
    caller: Caller = request.scope["state"]["caller"]
    return EventStream(feed, last, lambda: access.still(caller))  # type: ignore[return-value]


@get(ONE + "/events", responses=problems(404, 409), tags=["Runs"])
async def events(
    supervisor: NamedDependency[RunSupervisor],
    bounds: NamedDependency[Bounds],
    run: RunId,
    after: After = 0,
    limit: Limit = 500,
) -> EventPage:
    """The events of a run, in order, as the journal holds them."""
    feed = await supervisor.feeds.find(run)
    page = await feed.journal.read(feed.run.id, after, limit)
    more = page[-1][0] if page and page[-1][0] < feed.seq else None
    return EventPage(await bounds.in_thread(lambda: [record(feed.run.id, seq, event) for seq, event in page]), more)


@get(ONE + "/logs", media_type="text/plain", responses=problems(404, 409), tags=["Runs"])
async def logs(
    supervisor: NamedDependency[RunSupervisor],
    bounds: NamedDependency[Bounds],
    run: RunId,
    after: After = 0,
    limit: Limit = 1_000,
    step: Annotated[
        str | None, QueryParameter(description="Only this step, with its full output.", min_length=1, max_length=300)
    ] = None,
) -> str:
    """The events in words, one per line: number, time since the run was created, what happened.

    With `step` it is the output of that step, attempt by attempt; `after` and `limit` do not apply then.
    """
    feed = await supervisor.feeds.find(run)
    if step is not None:
        log, upto = StepLog(step_named(feed.run, step), feed.run.created_at), feed.seq
        past = [event async for seq, event in history(feed.journal, feed.run.id) if seq <= upto]
        return "".join(log_text(line) + "\n" for event in past for line in log.take(event))
    page = await feed.journal.read(feed.run.id, after, limit)
    began = feed.run.created_at
    return await bounds.in_thread(lambda: "".join(numbered_line(began, seq, event) + "\n" for seq, event in page))


@get(ONE + "/servers", responses=problems(404, 409), tags=["Runs"])
async def run_servers(supervisor: NamedDependency[RunSupervisor], run: RunId) -> RunServers:
    """The servers of a run that exist according to its journal."""
    feed = await supervisor.feeds.find(run)
    return RunServers(feed.run.id, servers(feed.run, SERVERS_MAX)[0])


@get(ONE + "/rollback", responses=problems(404, 409), tags=["Actions"])
async def preview(supervisor: NamedDependency[RunSupervisor], run: RunId) -> RollbackPreview:
    """What a rollback would do. Nothing is changed."""
    feed = await supervisor.feeds.find(run)
    return RollbackPreview(feed.run.id, tuple(await planned_undo(supervisor.settings, supervisor.clock, feed.run)))


HANDLERS: Sequence[Any] = (
    list_runs,
    stats,
    status,
    progress,
    events,
    logs,
    run_servers,
    preview,
)
