"""Calls about webhooks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from msgspec import Struct

from batchwright.api.openapi import problems
from batchwright.app.webhook_resend import deliveries, send_again
from batchwright.model.role import Role
from batchwright.service.run_supervisor import RunSupervisor
from batchwright.views.webhook_message import DeliveryLine, delivery_line

WEBHOOKS = "/v1/webhooks"
LINES_MOST = 1_000

Run = Annotated[
    str, QueryParameter(description="A run's id, the beginning of one, latest, or an environment.", max_length=220)
]


class DeliveryList(Struct, frozen=True):
    """What webhooks were told, those of the newest run first; `more` if some were left out."""

    items: tuple[DeliveryLine, ...]
    more: bool = False


@get(WEBHOOKS, responses=problems(404, 409), tags=["Webhooks"])
async def list_webhooks(supervisor: NamedDependency[RunSupervisor], run: Run = "") -> DeliveryList:
    """What each webhook was told about each run: delivered, still to be sent, given up, and the last answer."""
    rows = await deliveries(supervisor.stores, run)
    return DeliveryList(tuple(map(delivery_line, rows[:LINES_MOST])), len(rows) > LINES_MOST)


@post(
    WEBHOOKS + "/resend",
    status_code=202,
    opt={"role": Role.OPERATOR},
    responses=problems(404, 409, 422),
    tags=["Webhooks"],
)
async def resend(
    supervisor: NamedDependency[RunSupervisor],
    run: Run = "",
    event: Annotated[int, QueryParameter(description="Only the message about this event.", ge=0, le=10**15)] = 0,
    failed: Annotated[bool, QueryParameter(description="The messages that were given up.")] = False,
) -> DeliveryList:
    """Send messages again under their ids: all about a run, one, or those that were given up."""
    found = await send_again(supervisor.settings, supervisor.stores, run, event, failed=failed)
    for _, row in found:
        supervisor.webhooks.hint(row.run)
    return DeliveryList(tuple(delivery_line(row) for _, row in found[:LINES_MOST]), len(found) > LINES_MOST)


HANDLERS: Sequence[Any] = (list_webhooks, resend)
