"""What the filters of the emulated Describe calls see in a row, and which rows they let through."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from batchwright.emulators.aws.protocol import ApiError
from batchwright.emulators.aws.resources import AwsVolume, Group, Instance, Interface, Key, Tags

T = TypeVar("T")


Seen = dict[str, list[str]]  # name of a filter -> values that match it


def filtered(rows: Iterable[T], filters: Iterable[Mapping[str, Any]], seen: Callable[[T], Seen]) -> list[T]:
    """Rows that all filters let through. Raises ApiError for a filter that is not emulated."""
    wanted = {one["Name"]: one.get("Values", []) for one in filters}
    return [row for row in rows if all(_match(seen(row), name, values) for name, values in wanted.items())]


def _match(seen: Seen, name: str, values: list[str]) -> bool:
    if len(values) > 200:
        raise ApiError("FilterLimitExceeded", "The maximum number of filter values specified on a single call is 200")
    if name not in seen and not name.startswith("tag:"):
        raise ApiError("InvalidParameterValue", f"The filter '{name}' is invalid")
    return any(fnmatch.fnmatchcase(have, value) for have in seen.get(name, ()) for value in values)


def _tag_filters(tags: Tags) -> Seen:
    return {"tag-key": list(tags), **{f"tag:{key}": [value] for key, value in tags.items()}}


def instance_filters(one: Instance, now: float) -> Seen:
    """What can be asked of an instance."""
    return {
        "instance-id": [one.id],
        "instance-state-name": [one.state(now)[1]],
        "client-token": [one.token],
        "instance.group-id": one.groups,
        "availability-zone": [one.zone],
        "vpc-id": [one.vpc],
        **_tag_filters(one.tags),
    }


def volume_filters(one: AwsVolume) -> Seen:
    """What can be asked of a volume."""
    return {
        "volume-id": [one.id],
        "status": ["in-use" if one.instance else "available"],
        "attachment.instance-id": [one.instance] if one.instance else [],
        **_tag_filters(one.tags),
    }


def interface_filters(one: Interface) -> Seen:
    """What can be asked of a network interface."""
    return {
        "network-interface-id": [one.id],
        "group-id": one.groups,
        "attachment.instance-id": [one.instance] if one.instance else [],
        **_tag_filters(one.tags),
    }


def group_filters(one: Group) -> Seen:
    """What can be asked of a security group."""
    return {"group-id": [one.id], "group-name": [one.name], "vpc-id": [one.vpc], **_tag_filters(one.tags)}


def key_filters(one: Key) -> Seen:
    """What can be asked of a key pair."""
    return {"key-name": [one.name], "key-pair-id": [one.id], **_tag_filters(one.tags)}
