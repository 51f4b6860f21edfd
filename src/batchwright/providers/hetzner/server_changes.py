"""How Hetzner changes a server in place.

Another type is only set while the server is off (`server_not_stopped` otherwise), only one with the same architecture
and kind of storage, and never one with a smaller disk. With `upgrade_disk` the way back would be barred, so the disk
stays as it is. A shutdown only asks the operating system, which need not react: its action succeeds at once. The
actions of a server are listed, so they show what was asked for last, to another process too; a change that was taken
and failed later is only seen there. (Hetzner's API reference, server actions)
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from batchwright.model.call_outcome import Observed, Rejected, Unknown
from batchwright.model.fault import Fault
from batchwright.model.server_labels import labels_after
from batchwright.model.update_behavior import ChangeWay, FieldWay
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.hetzner import rows
from batchwright.providers.hetzner.faults import class_of
from batchwright.providers.server_change import STOP_SECONDS, Power, ServerChange

Send = Callable[[str, str, object], Awaitable[Rejected | Unknown | None]]  # method, path, body
Row = Mapping[str, Any]

NEWEST_FIRST = [("sort", "id:desc")]  # how the actions of a server are asked for

_POWERS = {"running": Power.ON, "off": Power.OFF}
_SHUTDOWN, _CHANGE = "shutdown_server", "change_server_type"


def ways(observed: Observed, request: ServerRequest, types: Mapping[str, Row]) -> dict[str, FieldWay]:
    """Another type if the server's disk and processor fit it."""
    way = FieldWay(ChangeWay.STOPPED)
    old, new = types.get(observed.plan, {}), types.get(request.plan, {})
    disk, fits = observed.disk_gb or int(old.get("disk", 0)), int(new.get("disk", 0))
    if old and new and old.get("architecture") != new.get("architecture"):
        note = f"{request.plan} has another processor architecture ({new.get('architecture')}) than {observed.plan}"
        way = FieldWay(ChangeWay.REPLACE, note)
    elif old and new and old.get("storage_type") != new.get("storage_type"):
        way = FieldWay(ChangeWay.REPLACE, f"{request.plan} has another kind of storage than {observed.plan}")
    elif new and disk > fits:
        way = FieldWay(ChangeWay.REPLACE, f"the disk of {request.plan} ({fits} GB) is smaller than its own ({disk} GB)")
    elif new and disk and disk < fits:
        way = FieldWay(ChangeWay.STOPPED, f"its disk keeps its {disk} GB: a new {request.plan} has {fits} GB")
    return {"plan": way, "labels": FieldWay(ChangeWay.LIVE)}


class HetznerChange(ServerChange):
    """The change of a server, from its record and its latest actions."""

    def __init__(
        self,
        send: Send,
        now: float,
        row: dict[str, Any],
        actions: Sequence[Row],
        request: ServerRequest,
        before: ServerRequest,
    ) -> None:
        self._send, self._path = send, f"/servers/{row['id']}"
        self._last = max(actions, key=lambda one: int(one.get("id", 0)), default={})
        self._ignored = False  # a shutdown that the operating system did not react to
        self._labels = labels_after(rows.labels_of(row), request.labels, before.labels)
        self.plan, self.wanted, self.former = rows.plan_of(row), request.plan, before.plan
        self.labelled = self._labels == rows.labels_of(row)
        self.power = self._power(str(row.get("status")), now)

    def _power(self, status: str, now: float) -> Power:
        seen = _POWERS.get(status, Power.BETWEEN)
        if self._last.get("status") == "running":
            return Power.BETWEEN
        if seen is Power.ON and self._last.get("command") == _SHUTDOWN:
            self._ignored = now - rows.seconds(self._last.get("started")) > STOP_SECONDS
            return Power.ON if self._ignored else Power.BETWEEN
        return seen

    async def stop(self) -> Rejected | Unknown | None:
        verb = "poweroff" if self._ignored else "shutdown"
        return await self._send("POST", f"{self._path}/actions/{verb}", {})

    async def resize(self, plan: str) -> Rejected | Unknown | None:
        if self._last.get("command") == _CHANGE and self._last.get("status") == "error":
            return _failure(
                self._last
            )  # it was taken, and failed later: the server is started before it is tried again
        body = {"server_type": plan, "upgrade_disk": False}
        return await self._send("POST", f"{self._path}/actions/change_type", body)

    async def start(self) -> Rejected | Unknown | None:
        return await self._send("POST", f"{self._path}/actions/poweron", {})

    async def relabel(self) -> Rejected | Unknown | None:
        return await self._send("PUT", self._path, {"labels": self._labels})


def _failure(action: Row) -> Rejected:
    error = action.get("error")
    code, message = (str(error.get(key) or "") for key in ("code", "message")) if isinstance(error, dict) else ("", "")
    return Rejected(Fault(class_of(0, code), f"Hetzner: {message or 'the change of the type failed'}", code))
