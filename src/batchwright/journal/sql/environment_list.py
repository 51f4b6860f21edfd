"""What is read of all environments at once, to list them."""

from __future__ import annotations

from batchwright.journal.environment_rows import Row, resource_of
from batchwright.journal.high_water_mark import HighWaterMark
from batchwright.journal.sql.connection import SqlConnection
from batchwright.journal.sql.data_access import RunRecord, environments, summaries_in
from batchwright.model.environment import EnvironmentKey, Resource
from batchwright.model.run_summary import RunSummary


def newest_runs(connection: SqlConnection, mark: HighWaterMark) -> list[RunSummary]:
    """Those of the newest run of each environment, and of runs without a turn. Raises StoreBehind, StoreCorrupt."""
    rows = [RunRecord(*row) for row in connection.rows("runs_without_turn")]
    newest = {one.last for one in environments(connection)}
    for run in newest:
        rows += [RunRecord(*row) for row in connection.rows("summary", {"run": run})]
    return summaries_in(rows, mark.get_all(newest.union(row.run for row in rows)))


def all_resources(connection: SqlConnection) -> list[tuple[EnvironmentKey, Resource]]:
    """What all environments have. Raises StoreCorrupt."""
    rows = ((EnvironmentKey(space, env), *rest) for space, env, *rest in connection.rows("all_resources"))
    return [(key, resource_of(key, name, Row(*row))) for key, name, *row in rows]
