"""How UpCloud changes a server in place.

UpCloud's own Terraform provider stops a server before it modifies the plan. Labels are replaced as a whole, without
a stop (recorded answers of UpCloud's Go client). A plan's disk is no part of it: a disk keeps its size, and a smaller
plan takes it too. Not known: which code refuses the plan of a running server, and whether a soft stop ends in a hard
one when its time-out is over.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from batchwright.model.call_outcome import Observed, Rejected, Unknown
from batchwright.model.server_labels import labels_after
from batchwright.model.update_behavior import ChangeWay, FieldWay
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.server_change import STOP_SECONDS, Power, SentStops, ServerChange
from batchwright.providers.upcloud import rows
from batchwright.providers.upcloud.catalog import UpCloudCatalog

Send = Callable[[str, str, object], Awaitable[Rejected | Unknown | None]]  # method, path, body

_POWERS = {"started": Power.ON, "stopped": Power.OFF}


def ways(observed: Observed, request: ServerRequest, offers: UpCloudCatalog | None) -> dict[str, FieldWay]:
    """Any plan becomes any other. The note says what a change in place leaves as it is."""
    old, new = (offers.plans.get(plan) if offers else None for plan in (observed.plan, request.plan))
    note = ""
    if old is not None and new is not None and old.disk_gb != new.disk_gb:
        note = f"its disk keeps its size: a new server of {new.name} gets {new.disk_gb} GB"
    return {"plan": FieldWay(ChangeWay.STOPPED, note), "labels": FieldWay(ChangeWay.LIVE)}


class UpCloudChange(ServerChange):
    """The change of a server, from its full record."""

    def __init__(
        self, send: Send, stops: SentStops, row: dict[str, Any], request: ServerRequest, before: ServerRequest
    ) -> None:
        self._send, self._stops, self._ref = send, stops, str(row["uuid"])
        found = rows.labels_as_written(row)
        self._labels = labels_after(found, request.labels, before.labels)
        self.power = stops.power(self._ref, _POWERS.get(str(row.get("state")), Power.BETWEEN))
        self.plan, self.wanted, self.former = str(row.get("plan", "")), request.plan, before.plan
        self.labelled = self._labels == found

    async def stop(self) -> Rejected | Unknown | None:
        body = {"stop_server": {"stop_type": "soft", "timeout": f"{STOP_SECONDS:.0f}"}}
        return await self._stops.send(self._ref, lambda: self._send("POST", f"/server/{self._ref}/stop", body))

    async def resize(self, plan: str) -> Rejected | Unknown | None:
        return await self._send("PUT", f"/server/{self._ref}", {"server": {"plan": plan}})

    async def start(self) -> Rejected | Unknown | None:
        return await self._send("POST", f"/server/{self._ref}/start", None)

    async def relabel(self) -> Rejected | Unknown | None:
        pairs = [{"key": key, "value": value} for key, value in self._labels.items() if not key.startswith("_")]
        return await self._send("PUT", f"/server/{self._ref}", {"server": {"labels": {"label": pairs}}})
