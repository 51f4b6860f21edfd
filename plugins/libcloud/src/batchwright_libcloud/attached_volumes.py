"""Volumes that others attached to a server, as far as a driver tells: each one names things in a way of its own."""

from __future__ import annotations

from typing import Any

from libcloud.compute.base import Node, NodeDriver, StorageVolume

_ROOTS = ("/dev/sda", "/dev/sda1", "/dev/vda", "/dev/vda1", "/dev/xvda", "/dev/nvme0n1")
_ROOT_FLAGS = ("boot", "is_boot", "root", "is_root")


def attached(driver: NodeDriver, node: Node) -> list[StorageVolume]:
    """What is on a node and is not the disk it starts from; none where a driver has no volumes or does not tell."""
    try:
        volumes = driver.list_volumes()
    except NotImplementedError:
        return []
    return [volume for volume in volumes if _mentions(volume.extra, str(node.id)) and not _starts(volume, node)]


def _mentions(told: Any, node: str) -> bool:
    match told:
        case dict():
            return any(_mentions(value, node) for value in told.values())
        case list() | tuple():
            return any(_mentions(value, node) for value in told)
    return str(told) == node


def _starts(volume: StorageVolume, node: Node) -> bool:
    root = (node.extra or {}).get("root_device_name")
    return any((volume.extra or {}).get(flag) is True for flag in _ROOT_FLAGS) or any(
        _mentions(volume.extra, device) for device in (*_ROOTS, *([str(root)] if root else []))
    )
