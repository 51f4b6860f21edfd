"""How EC2 changes an instance in place.

The type is an attribute that only a stopped instance can change (ModifyInstanceAttribute). Whether there is room and
quota for the new type shows at the start, not at the change: such a start is refused. An image runs on one processor
architecture. An instance that is stopped and started has another public address, unless it has an Elastic IP. Tags are
set and deleted one by one, while it runs, and a look may show them late. (EC2 user guide: "Change the instance type",
"Stop and start"; "Instance type naming conventions")
"""

from __future__ import annotations

import re
from typing import Any

from batchwright.model.call_outcome import Observed, Rejected, Unknown
from batchwright.model.clock import Clock
from batchwright.model.update_behavior import ChangeWay, FieldWay
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.aws import rows
from batchwright.providers.aws.client import AwsClient
from batchwright.providers.aws.faults import ERRORS, outcome
from batchwright.providers.aws.refs import Ref
from batchwright.providers.server_change import Power, SentStops, ServerChange

Errors = ERRORS

_POWERS = {"running": Power.ON, "stopped": Power.OFF}
_ARM = re.compile(r"(a1|[a-z]+\d+[a-z-]*g[a-z-]*)\.")  # a "g" after the generation means a Graviton processor


def ways(observed: Observed, request: ServerRequest) -> dict[str, FieldWay]:
    """Another type with the same processor architecture, as the names of the types tell it."""
    arm = [bool(_ARM.match(plan)) for plan in (observed.plan, request.plan)]
    if arm[0] != arm[1]:
        kinds = ["arm64" if one else "x86_64" for one in arm]
        note = f"{request.plan} has another processor architecture ({kinds[1]}) than {observed.plan} ({kinds[0]})"
        plan = FieldWay(ChangeWay.REPLACE, note)
    else:
        plan = FieldWay(ChangeWay.STOPPED, "its public address changes, unless it is an Elastic IP")
    return {"plan": plan, "labels": FieldWay(ChangeWay.LIVE)}


class AwsChange(ServerChange):
    """The change of an instance, from its row."""

    def __init__(
        self,
        connection: AwsClient,
        clock: Clock,
        stops: SentStops,
        place: Ref,
        row: rows.Row,
        request: ServerRequest,
        before: ServerRequest,
    ) -> None:
        self._connection, self._clock, self._stops, self._place = connection, clock, stops, place
        found, wanted, old = rows.tags_of(row), *(rows.labels_in(one.labels) for one in (request, before))
        # A look may show tags of a while ago, so what changes is sent whatever it shows
        self._set = {key: value for key, value in wanted.items() if (found.get(key), old.get(key)) != (value, value)}
        self._drop = [key for key in old if key not in wanted]
        self.power = stops.power(str(place), _POWERS.get(row["State"]["Name"], Power.BETWEEN))
        self.plan, self.wanted, self.former = str(row.get("InstanceType", "")), request.plan, before.plan
        self.labelled = not (self._set or self._drop)

    async def stop(self) -> Rejected | Unknown | None:
        return await self._stops.send(
            str(self._place), lambda: self._send("stop_instances", InstanceIds=[self._place.id])
        )

    async def resize(self, plan: str) -> Rejected | Unknown | None:
        return await self._send("modify_instance_attribute", InstanceId=self._place.id, InstanceType={"Value": plan})

    async def start(self) -> Rejected | Unknown | None:
        return await self._send("start_instances", InstanceIds=[self._place.id])

    async def relabel(self) -> Rejected | Unknown | None:
        tags = [{"Key": key, "Value": value} for key, value in self._set.items()]
        answer = await self._send("create_tags", Resources=[self._place.id], Tags=tags) if tags else None
        if answer is None and self._drop:
            gone = [{"Key": key} for key in self._drop]
            answer = await self._send("delete_tags", Resources=[self._place.id], Tags=gone)
        return answer

    async def _send(self, operation: str, **arguments: Any) -> Rejected | Unknown | None:
        try:
            await self._connection.change(self._place.region, operation, **arguments)
        except Errors as error:
            return outcome(error, self._clock.now())
        return None
