"""The table of deliveries, as plain functions on a connection inside the caller's transaction."""

from __future__ import annotations

from batchwright.journal.base import PENDING_MOST
from batchwright.journal.delivery_rows import delivery_of, delivery_row, refuse_unseen
from batchwright.journal.sql.connection import SqlConnection
from batchwright.model.delivery import Delivery


def pending_deliveries(connection: SqlConnection) -> list[Delivery]:
    """The rows that are open. Raises StoreCorrupt."""
    return [delivery_of(*found) for found in connection.rows("pending_deliveries", {"most": PENDING_MOST})]


def deliveries(connection: SqlConnection, run: str) -> list[Delivery]:
    """The rows of one run or of all. Raises StoreCorrupt."""
    rows = connection.rows("run_deliveries", {"run": run}) if run else connection.rows("deliveries")
    return [delivery_of(*found) for found in rows]


def write_delivery(connection: SqlConnection, seen: Delivery | None, row: Delivery) -> None:
    """Replace a row. Raises DeliveryMoved."""
    key = {"run": row.run, "webhook": row.webhook}
    found = connection.row("delivery", key)
    refuse_unseen(seen, delivery_of(*found) if found is not None else None, row)
    body, digest = delivery_row(row)
    due = row.due if row.open else None
    connection.execute("save_delivery", {**key, "due": due, "body": body, "digest": digest})
