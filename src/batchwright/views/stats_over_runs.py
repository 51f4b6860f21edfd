"""Statistics over many runs: outcomes, durations, and retries and throttling per provider."""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct

from batchwright.model.lifecycle import RUN_ENDED, RunState
from batchwright.model.run_summary import RunSummary


class ProviderStats(Struct, frozen=True):
    """One provider, summed over all runs."""

    name: str
    steps: int
    succeeded: int
    failed: int
    retries: int
    throttles: int


class Stats(Struct, frozen=True):
    """`success_rate` is Completed over ended runs; a run without failures that a user rolled back does not count.

    `p50` and `p95` are seconds, of Completed runs; None if there are none. `degraded` are the Completed runs in which
    some steps did not succeed. `steps` are without those that were `not_wanted`.
    """

    since: float
    runs: int
    by_status: dict[str, int]
    success_rate: float | None
    p50: float | None
    p95: float | None
    steps: int
    succeeded: int
    failed: int
    skipped: int
    undone: int
    retries: int
    throttles: int
    restarts: int
    providers: tuple[ProviderStats, ...]
    degraded: int
    not_wanted: int


def stats_view(summaries: Sequence[RunSummary], since: float = 0.0) -> Stats:
    """Statistics over the runs created at `since` (seconds since the epoch) or later."""
    rows = [row for row in summaries if row.created_at >= since]
    ended = [row for row in rows if row.status in RUN_ENDED]
    counted = [row for row in ended if not _taken_back(row)]
    completed = [row for row in rows if row.status is RunState.COMPLETED]
    took = sorted(row.ended_at - row.started_at for row in completed)
    by_status = {state.value: count for state in RunState if (count := sum(row.status is state for row in rows))}
    return Stats(
        since=since,
        runs=len(rows),
        by_status=by_status,
        success_rate=len(completed) / len(counted) if counted else None,
        p50=_percentile(took, 0.50),
        p95=_percentile(took, 0.95),
        steps=sum(row.steps - row.not_wanted for row in rows),
        succeeded=sum(row.succeeded for row in rows),
        failed=sum(row.failed for row in rows),
        skipped=sum(row.skipped for row in rows),
        not_wanted=sum(row.not_wanted for row in rows),
        undone=sum(row.undone for row in rows),
        retries=sum(row.retries for row in rows),
        throttles=sum(row.throttles for row in rows),
        restarts=sum(row.restarts for row in rows),
        providers=_providers(rows),
        degraded=sum(row.degraded > 0 for row in completed),
    )


def _taken_back(row: RunSummary) -> bool:
    """Whether a user rolled it back by choice, which says nothing about how the run went."""
    return row.status in (RunState.ROLLED_BACK, RunState.ROLLBACK_INCOMPLETE) and not row.failed and not row.skipped


def _percentile(ordered: Sequence[float], share: float) -> float | None:
    """The nearest-rank percentile: the smallest value that at least this share of the values does not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def _providers(rows: Sequence[RunSummary]) -> tuple[ProviderStats, ...]:
    totals: dict[str, dict[str, int]] = {}
    for row in rows:
        for name, counts in row.providers.items():
            total = totals.setdefault(name, {})
            for what, count in counts.items():
                total[what] = total.get(what, 0) + count
    fields = ("steps", "succeeded", "failed", "retries", "throttles")
    return tuple(
        ProviderStats(name, *(total.get(field, 0) for field in fields)) for name, total in sorted(totals.items())
    )
