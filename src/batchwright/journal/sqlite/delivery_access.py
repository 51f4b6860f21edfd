"""The table of deliveries, as plain functions on a connection inside the caller's transaction."""

from __future__ import annotations

import sqlite3

from batchwright.journal.base import PENDING_MOST
from batchwright.journal.delivery_rows import delivery_of, delivery_row, refuse_unseen
from batchwright.journal.sqlite.data_access import SQL
from batchwright.model.delivery import Delivery


def pending_deliveries(connection: sqlite3.Connection) -> list[Delivery]:
    """The rows that are open. Raises StoreCorrupt."""
    return [delivery_of(*found) for found in connection.execute(SQL["pending_deliveries"], {"most": PENDING_MOST})]


def deliveries(connection: sqlite3.Connection, run: str) -> list[Delivery]:
    """The rows of one run or of all. Raises StoreCorrupt."""
    rows = connection.execute(SQL["run_deliveries"], {"run": run}) if run else connection.execute(SQL["deliveries"])
    return [delivery_of(*found) for found in rows]


def write_delivery(connection: sqlite3.Connection, seen: Delivery | None, row: Delivery) -> None:
    """Replace a row. Raises DeliveryMoved."""
    key = {"run": row.run, "webhook": row.webhook}
    found = connection.execute(SQL["delivery"], key).fetchone()
    refuse_unseen(seen, delivery_of(*found) if found is not None else None, row)
    body, digest = delivery_row(row)
    due = row.due if row.open else None
    connection.execute(SQL["save_delivery"], {**key, "due": due, "body": body, "digest": digest})
