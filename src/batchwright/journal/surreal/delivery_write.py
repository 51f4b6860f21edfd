"""The write of a delivery's row, which is made once although a server's answer can be lost."""

from __future__ import annotations

from batchwright.errors import StoreUnavailable
from batchwright.journal.delivery_rows import delivery_of, delivery_row, refuse_unseen
from batchwright.journal.surreal.database import AnswerLost, Database
from batchwright.model.delivery import Delivery

TRIES = 5  # whose answer is lost each time


async def write_delivery(database: Database, mark: str, seen: Delivery | None, row: Delivery) -> None:
    """Replace a row. Raises DeliveryMoved, and QueryRefused if another process was faster."""
    body, digest = delivery_row(row)
    database.need_space(len(body))
    key = {"run": row.run, "webhook": row.webhook}
    values = {"body": body, "digest": digest, "open": row.open, "due": row.due, "mark": mark}
    lost = False
    for _ in range(TRIES):
        found = await database.query("delivery", **key)
        if lost and found and found[0][1] == digest:
            return
        refuse_unseen(seen, delivery_of(row.run, row.webhook, *found[0]) if found else None, row)
        try:
            await database.query("write_delivery", **key, **values, seen=found[0][1] if found else None)
        except AnswerLost:
            lost = True
        else:
            return
    raise StoreUnavailable(f"the connection to {database.place} broke {TRIES} times before an answer came")
