"""An emulated account in memory: its regions, and changes that take effect later."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from batchwright.emulators.aws.actions import CHANGES, READS, Call
from batchwright.emulators.aws.protocol import ApiError, AwsRequest
from batchwright.emulators.aws.region import Region
from batchwright.emulators.aws.resources import Instance
from batchwright.emulators.aws.settings import AwsBehaviour
from batchwright.emulators.base_account import EmulatedAccount
from batchwright.fault_injection.draw import Draw


class Inventory(Struct, frozen=True):
    """Everything an account holds, for tests and people. `duplicates` are tokens with more than one instance."""

    instances: list[dict[str, str]]
    volumes: list[str]
    interfaces: list[str]
    groups: list[str]
    keys: list[str]
    duplicates: dict[str, int]
    pending: int
    calls: dict[str, int]
    refused: dict[str, int]
    happened: dict[str, int]


class AwsAccount(EmulatedAccount[AwsBehaviour]):
    """One account in some regions."""

    def __init__(self, behaviour: AwsBehaviour, clock: Callable[[], float]) -> None:
        super().__init__(behaviour, lambda: clock() + self.behaviour.clock_skew)
        names = [name for name in behaviour.regions.split(",") if name]
        self.regions = {name: Region(name, lambda: self.behaviour, place) for place, name in enumerate(names)}
        self._late: list[tuple[float, int, AwsRequest, Draw]] = []
        self._numbers = count()

    def carry_out(self, request: AwsRequest, drawn: Draw) -> dict[str, Any]:
        """The result of a call; one that is drawn to be late is carried out later. Raises ApiError."""
        if request.action not in READS and request.action not in CHANGES:
            raise ApiError("InvalidAction", f"{request.action} is not emulated")
        if request.region not in self.regions:
            raise ApiError("AuthFailure", "AWS was not able to validate the provided access credentials", 401)
        if request.arguments.get("DryRun"):
            raise ApiError("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)
        if drawn.late:
            due = self.clock() + drawn.late
            heapq.heappush(self._late, (due, next(self._numbers), request, replace(drawn, late=0.0)))
            return {}
        return self._act(request, drawn, self.clock())

    def _act(self, request: AwsRequest, drawn: Draw, now: float) -> dict[str, Any]:
        act = READS.get(request.action) or CHANGES[request.action]
        return act(Call(self.regions[request.region], self.behaviour, request.arguments, now, drawn))

    def advance(self) -> None:
        """Apply the changes that are due, each at its own time."""
        now = self.clock()
        while self._late and self._late[0][0] <= now:
            due, _, request, drawn = heapq.heappop(self._late)
            self.regions[request.region].advance(due)
            try:
                self._act(request, drawn, due)
            except ApiError as error:
                self.refused[error.code] += 1
        for region in self.regions.values():
            region.advance(now)

    # For servers that stand behind the emulated ones.

    def back(self) -> None:
        """From now on an instance is pending until `boot` is called for it."""
        for region in self.regions.values():
            region.backed = True

    def to_be_backed(self) -> list[tuple[Instance, str]]:
        """Instances that were not terminated, each with the key pair's public key."""
        return [
            (one, region.keys[name].public if (name := one.arguments.get("KeyName")) in region.keys else "")
            for region in self.regions.values()
            for one in region.instances.values()
            if one.ending_at is None
        ]

    def boot(self, instance: str, address: str) -> None:
        """The backing server is ready."""
        for region in self.regions.values():
            if instance in region.instances:
                one = region.instances[instance]
                one.public = one.private = address
                one.ready_at = 0.0

    def inventory(self) -> Inventory:
        """Everything that exists now."""
        self.advance()
        now, regions = self.clock(), self.regions.values()
        alive = [one for region in regions for one in region.instances.values() if one.alive(now)]
        tokens = Counter(one.token for one in alive if one.token)
        return Inventory(
            [_summary_of(one, now) for one in alive],
            [name for region in regions for name in region.volumes],
            [name for region in regions for name in region.interfaces],
            [x.name for region in regions for x in region.groups.values() if x is not region.default_group],
            [name for region in regions for name in region.keys],
            {token: n for token, n in tokens.items() if n > 1},
            len(self._late),
            {name: n for name, n in self.happened.items() if name in READS or name in CHANGES},
            dict(self.refused),
            dict(self.happened),
        )

    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = msgspec.to_builtins(self.inventory())
        return found


def _summary_of(one: Instance, now: float) -> dict[str, Any]:
    told = {"id": one.id, "zone": one.zone, "type": one.arguments["InstanceType"], "token": one.token}
    return {**told, "state": one.state(now)[1], **one.tags}
