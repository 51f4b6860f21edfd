"""Rows of an emulated region as EC2 shows them, and what its filters see in them."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from batchwright.emulators.aws.catalog import Image
from batchwright.emulators.aws.protocol import ApiError
from batchwright.emulators.aws.region import Region
from batchwright.emulators.aws.resources import AwsVolume, Group, Instance, Interface, Key, Tags

T = TypeVar("T")
Seen = dict[str, list[str]]  # name of a filter -> values that match it
Shown = dict[str, Any]


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


def _tag_set(tags: Tags) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


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


def instance_shown(one: Instance, region: Region, now: float) -> Shown:
    """An instance, as DescribeInstances shows it."""
    code, state = one.state(now)
    asked = one.arguments
    shown: Shown = {
        "InstanceId": one.id,
        "ImageId": asked["ImageId"],
        "State": {"Code": code, "Name": state},
        "InstanceType": asked["InstanceType"],
        "LaunchTime": one.made_at,
        "Placement": {"AvailabilityZone": one.zone, "Tenancy": "default"},
        "Architecture": region.image(asked["ImageId"]).architecture,
        "RootDeviceType": "ebs",
        "ClientToken": one.token,
        "Tags": _tag_set(one.tags),
    }
    if "KeyName" in asked:
        shown["KeyName"] = asked["KeyName"]
    if one.reason[0] and state in ("shutting-down", "terminated"):
        shown["StateReason"] = {"Code": one.reason[0], "Message": one.reason[1]}
    if state == "terminated":
        return shown
    groups = [region.groups[name] for name in one.groups if name in region.groups]
    shown |= {"PrivateIpAddress": one.private, "SubnetId": one.subnet, "VpcId": one.vpc}
    shown["SecurityGroups"] = [{"GroupId": group.id, "GroupName": group.name} for group in groups]
    if state == "running":
        shown["PublicIpAddress"] = one.public
    disks = [volume for volume in region.volumes.values() if volume.instance == one.id]
    shown["BlockDeviceMappings"] = [
        {"DeviceName": v.device, "Ebs": {"VolumeId": v.id, "DeleteOnTermination": v.ends_with_instance}} for v in disks
    ]
    faces = [face for face in region.interfaces.values() if face.instance == one.id]
    shown["NetworkInterfaces"] = [
        {"NetworkInterfaceId": face.id, "Attachment": {k: v for k, v in _attachment(face).items() if k != "InstanceId"}}
        for face in faces
    ]
    return shown


def volume_filters(one: AwsVolume) -> Seen:
    """What can be asked of a volume."""
    return {
        "volume-id": [one.id],
        "status": ["in-use" if one.instance else "available"],
        "attachment.instance-id": [one.instance] if one.instance else [],
        **_tag_filters(one.tags),
    }


def volume_shown(one: AwsVolume) -> Shown:
    """A volume, as DescribeVolumes shows it."""
    attached = {"InstanceId": one.instance, "VolumeId": one.id, "Device": one.device, "State": "attached",
                "DeleteOnTermination": one.ends_with_instance}  # fmt: skip
    return {
        "VolumeId": one.id,
        "AvailabilityZone": one.zone,
        "Size": 8,
        "State": "in-use" if one.instance else "available",
        "Attachments": [attached] if one.instance else [],
        "Tags": _tag_set(one.tags),
    }


def interface_filters(one: Interface) -> Seen:
    """What can be asked of a network interface."""
    return {
        "network-interface-id": [one.id],
        "group-id": one.groups,
        "attachment.instance-id": [one.instance] if one.instance else [],
        **_tag_filters(one.tags),
    }


def _attachment(one: Interface) -> Shown:
    return {"AttachmentId": one.attachment, "DeviceIndex": one.number, "Status": "attached",
            "InstanceId": one.instance, "DeleteOnTermination": one.ends_with_instance}  # fmt: skip


def interface_shown(one: Interface) -> Shown:
    """A network interface, as DescribeNetworkInterfaces shows it."""
    return {
        "NetworkInterfaceId": one.id,
        "AvailabilityZone": one.zone,
        "SubnetId": one.subnet,
        "VpcId": one.vpc,
        "Status": "in-use" if one.instance else "available",
        "Groups": [{"GroupId": group} for group in one.groups],
        **({"Attachment": _attachment(one)} if one.instance else {}),
        "TagSet": _tag_set(one.tags),
    }


def group_filters(one: Group) -> Seen:
    """What can be asked of a security group."""
    return {"group-id": [one.id], "group-name": [one.name], "vpc-id": [one.vpc], **_tag_filters(one.tags)}


def group_shown(one: Group) -> Shown:
    """A security group, as DescribeSecurityGroups shows it."""
    return {
        "GroupId": one.id,
        "GroupName": one.name,
        "Description": one.text,
        "VpcId": one.vpc,
        "IpPermissions": one.rules,
        "Tags": _tag_set(one.tags),
    }


def key_filters(one: Key) -> Seen:
    """What can be asked of a key pair."""
    return {"key-name": [one.name], "key-pair-id": [one.id], **_tag_filters(one.tags)}


def key_shown(one: Key, *, public: bool) -> Shown:
    """A key pair, as DescribeKeyPairs shows it."""
    shown: Shown = {"KeyPairId": one.id, "KeyName": one.name, "KeyType": "ed25519", "Tags": _tag_set(one.tags)}
    return {**shown, "PublicKey": one.public} if public else shown


def image_shown(one: Image) -> Shown:
    """As in DescribeImages. Left to itself this image keeps its disks when an instance ends."""
    ebs = {"DeleteOnTermination": False, "VolumeSize": 8, "VolumeType": "gp3"}
    return {
        "ImageId": one.id,
        "Name": one.name,
        "Architecture": one.architecture,
        "State": "available",
        "RootDeviceName": one.devices[0],
        "RootDeviceType": "ebs",
        "BlockDeviceMappings": [{"DeviceName": device, "Ebs": ebs} for device in one.devices],
    }
