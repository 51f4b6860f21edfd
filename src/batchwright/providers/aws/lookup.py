"""Finds Batchwright's resources: all kinds in every region, or it raises. A partial result is never returned."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from batchwright.model.call_outcome import Observed, ServerState
from batchwright.model.fault import Fault, FaultClass
from batchwright.providers.aws import rows
from batchwright.providers.aws.client import AwsClient
from batchwright.providers.aws.refs import Ref, RefKind, parse, spent_token

FILTER_MAX = 200  # values of one filter

_ENDED = ("terminated",)
# kind -> operation, where its rows stand, its id, the filter for its id
_OPERATIONS = {
    RefKind.INSTANCE: ("describe_instances", "Reservations", "InstanceId", "instance-id"),
    RefKind.VOLUME: ("describe_volumes", "Volumes", "VolumeId", "volume-id"),
    RefKind.INTERFACE: (
        "describe_network_interfaces",
        "NetworkInterfaces",
        "NetworkInterfaceId",
        "network-interface-id",
    ),
    RefKind.GROUP: ("describe_security_groups", "SecurityGroups", "GroupId", "group-id"),
    RefKind.KEY: ("describe_key_pairs", "KeyPairs", "KeyPairId", "key-pair-id"),
}

Filters = list[dict[str, Any]]


def only(name: str, *values: str) -> dict[str, Any]:
    """A filter for one name."""
    return {"Name": name, "Values": list(values)}


def ours(run: str | None, token: str | None = None) -> Filters:
    """Filters for resources of Batchwright, of a run or of a token."""
    filters = [only(f"tag:{rows.RUN}", run) if run else only("tag-key", rows.RUN)]
    return [*filters, only(f"tag:{rows.TOKEN}", token)] if token else filters


async def rows_of(connection: AwsClient, region: str, kind: RefKind, filters: Filters) -> list[Any]:
    """All rows of a kind that match the filters."""
    operation, key, _, _ = _OPERATIONS[kind]
    found = await connection.listing(region, operation, key, Filters=filters)
    return rows.instances(found) if kind is RefKind.INSTANCE else found


async def find(connection: AwsClient, regions: Sequence[str], run: str | None, token: str | None) -> list[Observed]:
    """All resources with our tags in these regions. Resources that are gone are left out.

    Disks and interfaces are listed once their server is gone. A run's security group and key pair belong to its servers
    in a region and are listed once the last of these is gone: first the group, which EC2 keeps while anything uses it,
    then the key pair.
    """
    found = await asyncio.gather(*(_find_in(connection, region, run, token) for region in regions))
    return [observed for part in found for observed in part]


async def _find_in(connection: AwsClient, region: str, run: str | None, token: str | None) -> list[Observed]:
    kinds = [RefKind.INSTANCE, RefKind.VOLUME, RefKind.INTERFACE, *([] if token else [RefKind.GROUP, RefKind.KEY])]
    # servers first: a part may only count as loose if its server was already gone by then
    servers = await rows_of(connection, region, RefKind.INSTANCE, ours(run))
    parts = await asyncio.gather(*(rows_of(connection, region, kind, ours(run, token)) for kind in kinds[1:]))
    rest = dict(zip(kinds[1:], parts, strict=True))
    alive = [row for row in servers if row["State"]["Name"] not in _ENDED]
    tokens = {rows.tags_of(row).get(rows.TOKEN) for row in alive}
    found = [rows.server(region, row) for row in alive if token in (None, rows.tags_of(row).get(rows.TOKEN))]
    for kind in (RefKind.VOLUME, RefKind.INTERFACE):
        found += [rows.other(region, _OPERATIONS[kind][2], row) for row in rest[kind] if _is_loose(row, tokens)]
    busy = {rows.tags_of(row).get(rows.RUN) for row in alive}
    for kind in (RefKind.GROUP, RefKind.KEY):
        for row in rest.get(kind, ()):
            owner = rows.tags_of(row).get(rows.RUN)
            if owner not in busy:
                found.append(rows.other(region, _OPERATIONS[kind][2], row))
                busy.add(owner)
    return found


def _is_loose(row: rows.Row, tokens: set[str | None]) -> bool:
    """Whether it is attached to nothing and its server is gone."""
    free = (row.get("State") or row.get("Status")) == "available"
    return free and rows.tags_of(row).get(rows.TOKEN) not in tokens


async def describe(connection: AwsClient, refs: Iterable[str], now: float, settle: float) -> dict[str, Observed]:
    """A fresh look at these: one call per kind and region for 200 of them.

    A filter omits what does not exist. A new instance without tags counts as not visible yet, since its tags say whose
    it is.
    """
    asked = {text: parse(text) for text in refs}
    groups: dict[tuple[str, RefKind], list[Ref]] = {}
    seen = {text: Observed(text, ServerState.NOT_VISIBLE) for text in asked}
    for text, ref in asked.items():
        if ref.kind is RefKind.SPENT:
            seen[text] = _spent(ref)
        elif ref.kind is not None and ref.region:
            groups.setdefault((ref.region, ref.kind), []).append(ref)
    looks = [
        _look(connection, region, kind, some, now, settle)
        for (region, kind), group in groups.items()
        for some in (group[i : i + FILTER_MAX] for i in range(0, len(group), FILTER_MAX))
    ]
    for part in await asyncio.gather(*looks):
        seen.update((observed.ref, observed) for observed in part if observed.ref in seen)
    return seen


def _spent(ref: Ref) -> Observed:
    token = spent_token(ref)
    fault = Fault(FaultClass.TRANSIENT, "AWS has terminated the server of this token; the next one is used")
    return Observed(str(ref), ServerState.BROKEN, run=token.run, token=token.value, fault=fault)


async def _look(
    connection: AwsClient, region: str, kind: RefKind, refs: Sequence[Ref], now: float, settle: float
) -> list[Observed]:
    _, _, key, name = _OPERATIONS[kind]
    found = await rows_of(connection, region, kind, [only(name, *(ref.id for ref in refs))])
    if kind is RefKind.INSTANCE:
        return [rows.server(region, row) for row in found if not rows.tags_may_be_late(row, now, settle)]
    return [rows.other(region, key, row) for row in found]


async def servers(connection: AwsClient, refs: Iterable[str]) -> list[tuple[Observed, rows.Tags]]:
    """The servers among these, with their tags."""
    groups: dict[str, list[str]] = {}
    for ref in map(parse, refs):
        if ref.kind is RefKind.INSTANCE:
            groups.setdefault(ref.region, []).append(ref.id)
    found: list[tuple[Observed, rows.Tags]] = []
    for region, ids in groups.items():
        for i in range(0, len(ids), FILTER_MAX):
            some = await rows_of(connection, region, RefKind.INSTANCE, [only("instance-id", *ids[i : i + FILTER_MAX])])
            found += [(rows.server(region, row), rows.tags_of(row)) for row in some]
    return found
