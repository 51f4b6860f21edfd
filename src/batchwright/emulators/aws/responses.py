"""Rows of an emulated region as EC2 shows them."""

from __future__ import annotations

from typing import Any

from batchwright.emulators.aws.catalog import Image
from batchwright.emulators.aws.region import Region
from batchwright.emulators.aws.resources import AwsVolume, Group, Instance, Interface, Key, Tags

Shown = dict[str, Any]


def _tag_set(tags: Tags) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


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
    if one.reason[0] and state not in ("pending", "running"):
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
