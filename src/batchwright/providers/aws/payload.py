"""The request that creates a server. Pure: the same request and token give the same bytes, or EC2 refuses the retry."""

from __future__ import annotations

from typing import Any

from batchwright.model.ids import Token
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.aws import rows
from batchwright.providers.aws.zones import is_availability_zone
from batchwright.providers.user_data import combined

KINDS = ("instance", "network-interface", "volume")


def arguments(request: ServerRequest, token: Token, group: str, private: str, public: str) -> dict[str, Any]:
    """The arguments of RunInstances. `private` and `public` are the host key."""
    told = combined(request.user_data, request.ssh_keys, private, public, f"batchwright-{token.value}")
    return {
        **_what(request),
        "ClientToken": token.value,
        "KeyName": rows.run_name(token.run),
        "SecurityGroupIds": [group],
        "UserData": told,
        "TagSpecifications": rows.tag_set(KINDS, rows.server_tags(request, token, public)),
    }


def rehearsal(request: ServerRequest) -> dict[str, Any]:
    """The arguments of a dry run, which tells whether the credentials permit the call."""
    return {**_what(request), "DryRun": True}


def _what(request: ServerRequest) -> dict[str, Any]:
    known = request.resolved
    asked: dict[str, Any] = {
        "ImageId": known["image_id"],
        "InstanceType": request.plan,
        "MinCount": 1,
        "MaxCount": 1,
        # set for every disk, since the image may say otherwise
        "BlockDeviceMappings": [_disk(disk) for disk in known["devices"].split(",")],
        "InstanceInitiatedShutdownBehavior": "stop",
        "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
    }
    if known.get("subnet"):
        asked["SubnetId"] = known["subnet"]
    elif is_availability_zone(request.zone):
        asked["Placement"] = {"AvailabilityZone": request.zone}
    return asked


def _disk(disk: str) -> dict[str, Any]:
    device, _, size = disk.partition("=")
    return {"DeviceName": device, "Ebs": {"DeleteOnTermination": True} | ({"VolumeSize": int(size)} if size else {})}
