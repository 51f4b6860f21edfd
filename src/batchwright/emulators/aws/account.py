"""An emulated account in memory: which fate meets a call, when it is carried out, and what is answered."""

from __future__ import annotations

import heapq
import threading
from collections import Counter
from collections.abc import Mapping
from itertools import count
from typing import Any

from msgspec import Struct

from batchwright.emulators.aws.actions import CHANGES, READS, Call
from batchwright.emulators.aws.protocol import ApiError, Request
from batchwright.emulators.aws.region import Region
from batchwright.emulators.aws.rows import Instance
from batchwright.emulators.aws.settings import AwsBehaviour
from batchwright.model.ids import fraction

_AUTH = {
    "expired": ApiError("ExpiredToken", "The security token included in the request is expired", 403),
    "wrong": ApiError("InvalidClientTokenId", "The security token included in the request is invalid.", 403),
}


class ListingPage(Exception):
    """A gateway answers in AWS's place."""


class Lost(Exception):
    """The connection breaks before an answer."""


class Inventory(Struct, frozen=True):
    """Everything an account holds, for tests and for who rehearses. `tokens` are those with more than one instance."""

    instances: list[dict[str, str]]
    volumes: list[str]
    interfaces: list[str]
    groups: list[str]
    keys: list[str]
    duplicates: dict[str, int]
    pending: int
    calls: dict[str, int]
    refused: dict[str, int]


class AwsAccount:
    """One account in some regions. `handle` is called from many threads."""

    def __init__(self, behaviour: AwsBehaviour) -> None:
        self.behaviour = behaviour
        names = [name for name in behaviour.regions.split(",") if name]
        self.regions = {name: Region(name, behaviour, place) for place, name in enumerate(names)}
        self._lock = threading.Lock()
        self._late: list[tuple[float, int, Request]] = []
        self._numbers = count()
        self._attempts: Counter[str] = Counter()
        self._calls: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._buckets: dict[str, tuple[float, float]] = {}  # region -> tokens, when

    def handle(self, request: Request, now: float) -> dict[str, Any]:
        """The result of a call. Raises ApiError, or Lost when nobody is to hear of it."""
        with self._lock:
            self._advance(now)
            self._calls[request.action] += 1
            try:
                return self._handle(request, now)
            except ApiError as error:
                self._refused[error.code] += 1
                raise

    def _handle(self, request: Request, now: float) -> dict[str, Any]:
        if self.behaviour.auth:
            raise _AUTH[self.behaviour.auth]
        if request.action not in READS and request.action not in CHANGES:
            raise ApiError("InvalidAction", f"{request.action} is not emulated")
        if request.region not in self.regions:
            raise ApiError("AuthFailure", "AWS was not able to validate the provided access credentials", 401)
        if request.action in self.behaviour.failing.split(","):
            raise ListingPage
        if request.action in self.behaviour.denied.split(","):
            raise ApiError("UnauthorizedOperation", "You are not authorized to perform this operation.", 403)
        if request.arguments.get("DryRun"):
            raise ApiError("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)
        if request.action in READS:
            if self._draws(request, "read_errors", self.behaviour.read_errors):
                raise ApiError("Unavailable", "The server is overloaded and can't handle the request.", 503)
            return self._carry_out(request, now)
        return self._change(request, now)

    def _change(self, request: Request, now: float) -> dict[str, Any]:
        here = self.behaviour
        if request.action == "RunInstances" and not self._permit(request.region, now):
            raise ApiError("RequestLimitExceeded", "Request limit exceeded.", 503)
        self._attempts[_key(request)] += 1
        if self._draws(request, "unavailable", here.unavailable):
            raise ApiError("Unavailable", "The server is overloaded and can't handle the request.", 503)
        if self._draws(request, "late", here.late_commits):
            due = now + here.late_min + (here.late_max - here.late_min) * self._fraction(request, "how late")
            heapq.heappush(self._late, (due, next(self._numbers), request))
            raise Lost
        lost = self._draws(request, "lost", here.lost_answers)
        try:
            result = self._carry_out(request, now)
        except ApiError:
            if lost:
                raise Lost from None
            raise
        if lost:
            raise Lost
        return result

    def _carry_out(self, request: Request, now: float) -> dict[str, Any]:
        act = READS.get(request.action) or CHANGES[request.action]
        return act(Call(self.regions[request.region], self.behaviour, request.arguments, now))

    def _advance(self, now: float) -> None:
        """What was on its way arrives, each at its own time."""
        while self._late and self._late[0][0] <= now:
            due, _, request = heapq.heappop(self._late)
            self.regions[request.region].advance(due)
            try:
                self._carry_out(request, due)
            except ApiError as error:
                self._refused[error.code] += 1
        for region in self.regions.values():
            region.advance(now)

    def _permit(self, region: str, now: float) -> bool:
        here = self.behaviour
        if not here.rate:
            return True
        tokens, since = self._buckets.get(region, (float(here.burst), now))
        tokens = min(float(here.burst), tokens + (now - since) * here.rate)
        self._buckets[region] = (tokens - 1 if tokens >= 1 else tokens, now)
        return tokens >= 1

    def _draws(self, request: Request, what: str, chance: float) -> bool:
        return chance > 0 and self._fraction(request, what) < chance

    def _fraction(self, request: Request, what: str) -> float:
        """From the seed, the call and how often it was made; never from the order of calls."""
        key = _key(request)
        if request.action in READS:
            self._attempts[f"{key}/{what}"] += 1
            return fraction(f"{self.behaviour.seed}/{key}/{what}/{self._attempts[f'{key}/{what}']}")
        return fraction(f"{self.behaviour.seed}/{key}/{what}/{self._attempts[key]}")

    # For servers that stand behind the emulated ones.

    def back(self) -> None:
        """From now on an instance is pending until `boot` is told of it."""
        for region in self.regions.values():
            region.backed = True

    def to_be_backed(self) -> list[tuple[Instance, str]]:
        """Instances that have not been told to end, each with the key pair's public key."""
        with self._lock:
            return [
                (one, region.keys[name].public if (name := one.arguments.get("KeyName")) in region.keys else "")
                for region in self.regions.values()
                for one in region.instances.values()
                if one.ending_at is None
            ]

    def boot(self, instance: str, address: str) -> None:
        """What stands behind it is ready."""
        with self._lock:
            for region in self.regions.values():
                if instance in region.instances:
                    one = region.instances[instance]
                    one.public = one.private = address
                    one.ready_at = 0.0

    def inventory(self, now: float) -> Inventory:
        """What is there at `now`."""
        with self._lock:
            self._advance(now)
            alive = [one for region in self.regions.values() for one in region.instances.values() if one.alive(now)]
            tokens = Counter(one.token for one in alive if one.token)
            regions = self.regions.values()
            return Inventory(
                [{"id": o.id, "zone": o.zone, "token": o.token, "state": o.state(now)[1], **o.tags} for o in alive],
                [name for region in regions for name in region.volumes],
                [name for region in regions for name in region.interfaces],
                [x.name for region in regions for x in region.groups.values() if x is not region.default_group],
                [name for region in regions for name in region.keys],
                {token: n for token, n in tokens.items() if n > 1},
                len(self._late),
                dict(self._calls),
                dict(self._refused),
            )


def _key(request: Request) -> str:
    """What a call is about."""
    asked: Mapping[str, Any] = request.arguments
    about = next(
        (str(asked[name]) for name in ("ClientToken", "InstanceIds", "GroupName", "KeyName", "GroupId", "VolumeId",
                                       "KeyPairId", "Filters") if name in asked),
        "",
    )  # fmt: skip
    return f"{request.region}/{request.action}/{about}"
