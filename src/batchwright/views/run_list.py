"""A list of runs, one line each, newest first."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TypeVar

from msgspec import Struct

from batchwright.errors import UsageError
from batchwright.model.did_you_mean import close_matches
from batchwright.model.environment_selector import environment_not_found, environments_named
from batchwright.model.lifecycle import RUN_ENDED, RunState
from batchwright.model.run_summary import RunSummary

Row = TypeVar("Row", bound=RunSummary)


class RunLine(Struct, frozen=True):
    """One run. `driven`: a process drives it now. A run that is not driven and has not ended waits for `resume`.

    `archive` is the file that has its events, "" if the store has them. `degraded` counts the operations of a Completed
    run in which some steps did not succeed.
    """

    run: str
    workflow: str
    version: str
    status: RunState
    driven: bool
    store: str
    simulated: bool
    created_at: float
    ended_at: float
    elapsed: float
    steps: int
    succeeded: int
    failed: int
    skipped: int
    undone: int
    environment: str
    archive: str = ""
    asks: int = 0  # open questions to people
    degraded: int = 0
    not_wanted: int = 0  # steps that a condition left out; `steps` are without them


class Listing(Struct, frozen=True):
    """The runs that were asked for. `more` is how many the limit left out."""

    runs: tuple[RunLine, ...]
    more: int


def state_named(word: str) -> RunState:
    """The state a user names, in any case. Raises UsageError, which lists the states."""
    plain = {_plain(state.value): state for state in RunState}
    found = plain.get(_plain(word))
    if found is None:
        near = close_matches(_plain(word), plain, n=1)
        meant = f"Did you mean {plain[near[0]]}? " if near else ""
        raise UsageError(
            f"there is no status {word!r}", hint=f"{meant}The states are: {', '.join(s.value for s in RunState)}."
        )
    return found


def _plain(word: str) -> str:
    return word.lower().replace("-", "").replace("_", "").replace(" ", "")


def matching(rows: Sequence[Row], statuses: Collection[str], name: str, environment: str = "") -> list[Row]:
    """Rows with one of the statuses (any, if none is given) and `name` in the workflow's name, in any case.

    With `environment` only its runs; a name that both spaces have means both. Raises EnvironmentNotFound.
    """
    if environment:
        wanted = environments_named(environment, {row.environment_key for row in rows})
        if not wanted:
            raise environment_not_found(environment, {row.environment_key for row in rows})
        rows = [row for row in rows if row.environment_key in wanted]
    return [row for row in rows if (not statuses or row.status in statuses) and name.lower() in row.workflow.lower()]


def listing(
    summaries: Sequence[RunSummary],
    driven: Collection[str],
    now: float,
    *,
    limit: int | None = None,
) -> Listing:
    """The newest `limit` of them, newest first."""
    ordered = sorted(summaries, key=lambda row: (-row.created_at, row.run))
    shown = ordered if limit is None else ordered[:limit]
    return Listing(tuple(_line(row, row.run in driven, now) for row in shown), len(ordered) - len(shown))


def _line(row: RunSummary, driven: bool, now: float) -> RunLine:
    ended = row.status in RUN_ENDED
    end = row.ended_at if ended else (now if driven else row.updated_at)
    return RunLine(
        run=row.run,
        workflow=row.workflow,
        version=row.version,
        status=row.status,
        driven=driven and not ended,
        store=row.store,
        simulated=row.simulated,
        created_at=row.created_at,
        ended_at=row.ended_at,
        elapsed=max(0.0, end - row.started_at) if row.started_at else 0.0,
        steps=row.steps - row.not_wanted,
        succeeded=row.succeeded,
        failed=row.failed,
        skipped=row.skipped,
        not_wanted=row.not_wanted,
        undone=row.undone,
        environment=row.environment_key.name,
        archive=row.archive,
        asks=row.asks,
        degraded=row.degraded,
    )
