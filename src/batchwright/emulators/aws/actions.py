"""The emulated calls: name -> what it does in a region. Others are refused as AWS does."""

from __future__ import annotations

import base64
import dataclasses
import json
import random
from collections.abc import Callable, Mapping
from typing import Any

from batchwright.emulators.aws import filters, responses, server_changes
from batchwright.emulators.aws.catalog import ARM, IMAGES, PARAMETERS, PRICES, VCPUS
from batchwright.emulators.aws.protocol import ApiError
from batchwright.emulators.aws.region import Region
from batchwright.emulators.aws.resources import Instance, Interface
from batchwright.emulators.aws.settings import AwsBehaviour
from batchwright.fault_injection.draw import Draw

ACCOUNT = "123456789012"

Arguments = Mapping[str, Any]
Result = dict[str, Any]


class Call:
    """One call and the region it acts on."""

    def __init__(self, region: Region, behaviour: AwsBehaviour, arguments: Arguments, now: float, drawn: Draw) -> None:
        self.region, self.behaviour, self.arguments = region, behaviour, arguments
        self.now, self.drawn = now, drawn

    @property
    def filters(self) -> list[dict[str, Any]]:
        """The filters of a describe."""
        return list(self.arguments.get("Filters", ()))

    def seen(self, rows: Mapping[str, Any]) -> list[Any]:
        """Rows that are visible in describes by now, with the tags that are visible by now."""
        shown_rows = [row for row in rows.values() if row.visible_at <= self.now]
        return [
            row if row.tagged_at <= self.now else dataclasses.replace(row, tags=getattr(row, "old_tags", {}))
            for row in shown_rows
        ]

    def page(self, rows: list[Any]) -> tuple[list[Any], Result]:
        """One page of the rows, and where the next one begins."""
        size = min(int(self.arguments.get("MaxResults") or 10**6), self.behaviour.page_size)
        begin = int(base64.b64decode(self.arguments.get("NextToken") or "").decode() or 0)
        end = begin + size
        if self.behaviour.unordered:
            random.Random(self.drawn.seed).shuffle(rows := list(rows))
        more = {"NextToken": base64.b64encode(str(end).encode()).decode()} if end < len(rows) else {}
        return rows[begin:end], more

    def named(self, rows: list[Any], key: str, names: str, code: str) -> list[Any]:
        """Rows by id. One missing id fails the whole call, as at AWS."""
        wanted = self.arguments.get(names)
        if not wanted:
            return rows
        by_name = {getattr(row, key): row for row in rows}
        if missing := [one for one in wanted if one not in by_name]:
            raise ApiError(code, f"'{', '.join(missing)}' does not exist")
        return [by_name[one] for one in wanted]


def describe_instances(call: Call) -> Result:
    rows = call.named(call.seen(call.region.instances), "id", "InstanceIds", "InvalidInstanceID.NotFound")
    rows = filters.filtered(rows, call.filters, lambda one: filters.instance_filters(one, call.now))
    some, more = call.page(rows)
    found = [responses.instance_shown(one, call.region, call.now) for one in some]
    return {"Reservations": [{"ReservationId": f"r-{x['InstanceId'][2:]}", "Instances": [x]} for x in found], **more}


def run_instances(call: Call) -> Result:
    made = call.region.run(call.arguments, call.now, call.drawn)
    view = responses.instance_shown(made, call.region, call.now)
    return {"ReservationId": f"r-{made.id[2:]}", "OwnerId": ACCOUNT, "Instances": [view]}


def terminate_instances(call: Call) -> Result:
    before = {name: one.state(call.now) for name, one in call.region.instances.items()}
    ending = call.region.terminate(call.arguments["InstanceIds"], call.now)
    return {"TerminatingInstances": [_transition(one, before[one.id], call.now) for one in ending]}


def _transition(one: Instance, before: tuple[int, str], now: float) -> Result:
    states = [{"Code": code, "Name": name} for code, name in (one.state(now), before)]
    return {"InstanceId": one.id, "CurrentState": states[0], "PreviousState": states[1]}


def stop_instances(call: Call) -> Result:
    asked = server_changes.instances(call.region, call.arguments["InstanceIds"])
    before = [one.state(call.now) for one in asked]
    for one in asked:
        server_changes.stop(one, call.behaviour, call.now)
    shown = [_transition(one, was, call.now) for one, was in zip(asked, before, strict=True)]
    return {"StoppingInstances": shown}


def start_instances(call: Call) -> Result:
    asked = server_changes.instances(call.region, call.arguments["InstanceIds"])
    before = [one.state(call.now) for one in asked]
    for one in asked:
        server_changes.start(call.region, one, call.behaviour, call.now, call.drawn)
    shown = [_transition(one, was, call.now) for one, was in zip(asked, before, strict=True)]
    return {"StartingInstances": shown}


def create_tags(call: Call) -> Result:
    wanted = {tag["Key"]: tag["Value"] for tag in call.arguments["Tags"]}
    for one in server_changes.instances(call.region, call.arguments["Resources"]):
        server_changes.retag(one, {**one.tags, **wanted}, call.behaviour, call.now)
    return {}


def delete_tags(call: Call) -> Result:
    gone = {tag["Key"] for tag in call.arguments["Tags"]}
    for one in server_changes.instances(call.region, call.arguments["Resources"]):
        kept = {key: value for key, value in one.tags.items() if key not in gone}
        server_changes.retag(one, kept, call.behaviour, call.now)
    return {}


def describe_volumes(call: Call) -> Result:
    rows = call.named(call.seen(call.region.volumes), "id", "VolumeIds", "InvalidVolume.NotFound")
    some, more = call.page(filters.filtered(rows, call.filters, filters.volume_filters))
    return {"Volumes": [responses.volume_shown(one) for one in some], **more}


def delete_volume(call: Call) -> Result:
    volume = call.region.volumes.get(call.arguments["VolumeId"])
    if volume is None:
        raise ApiError("InvalidVolume.NotFound", "The volume does not exist.")
    if volume.instance:
        raise ApiError("VolumeInUse", f"Volume {volume.id} is currently attached to {volume.instance}")
    del call.region.volumes[volume.id]
    return {}


def describe_network_interfaces(call: Call) -> Result:
    some, more = call.page(filters.filtered(call.seen(call.region.interfaces), call.filters, filters.interface_filters))
    return {"NetworkInterfaces": [responses.interface_shown(one) for one in some], **more}


def delete_network_interface(call: Call) -> Result:
    if _interface(call).instance:
        raise ApiError("InvalidParameterValue", "Network interface is currently in use.")
    del call.region.interfaces[call.arguments["NetworkInterfaceId"]]
    return {}


def _interface(call: Call) -> Interface:
    wanted = call.arguments["NetworkInterfaceId"]
    if wanted not in call.region.interfaces:
        raise ApiError("InvalidNetworkInterfaceID.NotFound", "The networkInterface ID does not exist")
    return call.region.interfaces[wanted]


# -- what others attach ---------------------------------------------------------------------------------------------


def create_volume(call: Call) -> Result:
    tags = [one.get("Tags", ()) for one in call.arguments.get("TagSpecifications", ())]
    named = {tag["Key"]: tag["Value"] for some in tags for tag in some}
    return responses.volume_shown(call.region.new_volume(call.arguments["AvailabilityZone"], named, call.now))


def attach_volume(call: Call) -> Result:
    asked = call.arguments
    call.region.attach_volume(call.region.volume(asked["VolumeId"]), asked["InstanceId"], asked["Device"])
    return {**asked, "State": "attached", "DeleteOnTermination": False}


def detach_volume(call: Call) -> Result:
    volume = call.region.volume(call.arguments["VolumeId"])
    was, volume.instance = volume.instance, ""
    return {"VolumeId": volume.id, "InstanceId": was, "State": "detaching"}


def create_network_interface(call: Call) -> Result:
    face = call.region.new_interface(call.arguments["SubnetId"], list(call.arguments.get("Groups", ())), call.now)
    return {"NetworkInterface": responses.interface_shown(face)}


def attach_network_interface(call: Call) -> Result:
    face = _interface(call)
    call.region.attach_interface(face, call.arguments["InstanceId"], int(call.arguments["DeviceIndex"]))
    return {"AttachmentId": face.attachment}


def modify_network_interface_attribute(call: Call) -> Result:
    face, asked = _interface(call), call.arguments.get("Attachment", {})
    if asked.get("AttachmentId") != face.attachment:
        raise ApiError("InvalidAttachmentID.NotFound", f"The attachment '{asked.get('AttachmentId')}' does not exist")
    face.ends_with_instance = bool(asked.get("DeleteOnTermination", face.ends_with_instance))
    return {}


def modify_instance_attribute(call: Call) -> Result:
    instance = call.arguments["InstanceId"]
    if "InstanceType" in call.arguments:
        (one,) = server_changes.instances(call.region, [instance])
        server_changes.resize(call.region, one, call.arguments["InstanceType"]["Value"], call.now)
    attached = {one.device: one for one in call.region.volumes.values() if one.instance == instance}
    for mapping in call.arguments.get("BlockDeviceMappings", ()):
        if mapping["DeviceName"] not in attached:
            raise ApiError("InvalidInstanceAttributeValue", f"no device {mapping['DeviceName']} is attached")
        attached[mapping["DeviceName"]].ends_with_instance = bool(mapping["Ebs"]["DeleteOnTermination"])
    return {}


def create_security_group(call: Call) -> Result:
    return {"GroupId": call.region.create_group(call.arguments, call.now).id}


def describe_security_groups(call: Call) -> Result:
    rows = call.named(call.seen(call.region.groups), "id", "GroupIds", "InvalidGroup.NotFound")
    some, more = call.page(filters.filtered(rows, call.filters, filters.group_filters))
    return {"SecurityGroups": [responses.group_shown(one) for one in some], **more}


def authorize_security_group_ingress(call: Call) -> Result:
    call.region.allow(call.arguments["GroupId"], call.arguments.get("IpPermissions", []))
    return {"Return": True}


def delete_security_group(call: Call) -> Result:
    call.region.delete_group(call.arguments.get("GroupId", ""))
    return {}


def import_key_pair(call: Call) -> Result:
    key = call.region.import_key(call.arguments, call.now)
    return {"KeyName": key.name, "KeyPairId": key.id}


def describe_key_pairs(call: Call) -> Result:
    rows = call.named(call.seen(call.region.keys), "name", "KeyNames", "InvalidKeyPair.NotFound")
    public = bool(call.arguments.get("IncludePublicKey"))
    found = filters.filtered(rows, call.filters, filters.key_filters)
    return {"KeyPairs": [responses.key_shown(one, public=public) for one in found]}


def delete_key_pair(call: Call) -> Result:
    call.region.delete_key(call.arguments)
    return {}


# -- what is there to use -------------------------------------------------------------------------------------------


def describe_regions(call: Call) -> Result:
    names = [name for name in call.behaviour.regions.split(",") if name]
    found = [
        {"RegionName": n, "Endpoint": f"ec2.{n}.amazonaws.com", "OptInStatus": "opt-in-not-required"} for n in names
    ]
    return {"Regions": found}


def describe_vpcs(call: Call) -> Result:
    def seen(_row: str) -> filters.Seen:
        return {"is-default": ["true"], "vpc-id": [call.region.vpc]}

    found = filters.filtered([call.region.vpc], call.filters, seen)
    return {"Vpcs": [{"VpcId": one, "CidrBlock": "172.31.0.0/16", "IsDefault": True} for one in found]}


def describe_subnets(call: Call) -> Result:
    def seen(row: tuple[str, str]) -> filters.Seen:
        return {"subnet-id": [row[0]], "availability-zone": [row[1]], "default-for-az": ["true"], "vpc-id": [vpc]}

    vpc = call.region.vpc
    rows = list(call.region.subnets.items())
    if wanted := call.arguments.get("SubnetIds"):
        rows = [row for row in rows if row[0] in wanted]
        if len(rows) < len(wanted):
            raise ApiError("InvalidSubnetID.NotFound", f"The subnet ID '{', '.join(wanted)}' does not exist")
    found = filters.filtered(rows, call.filters, seen)
    some, more = call.page(found)
    views = [
        {"SubnetId": name, "AvailabilityZone": zone, "VpcId": vpc, "DefaultForAz": True, "MapPublicIpOnLaunch": True}
        for name, zone in some
    ]
    return {"Subnets": views, **more}


def describe_images(call: Call) -> Result:
    if wanted := call.arguments.get("ImageIds"):
        return {"Images": [responses.image_shown(call.region.image(one)) for one in wanted]}
    seen = [one for one in IMAGES if not one.deprecated]
    some, more = call.page(filters.filtered(seen, call.filters, lambda one: {"image-id": [one.id]}))
    return {"Images": [responses.image_shown(one) for one in some], **more}


def describe_instance_types(call: Call) -> Result:
    def seen(name: str) -> filters.Seen:
        return {"instance-type": [name]}

    def view(name: str) -> Result:
        cpus, memory = VCPUS[name]
        kind = "arm64" if name.startswith(ARM) else "x86_64"
        return {
            "InstanceType": name,
            "ProcessorInfo": {"SupportedArchitectures": [kind]},
            "VCpuInfo": {"DefaultVCpus": cpus},
            "MemoryInfo": {"SizeInMiB": memory},
        }

    some, more = call.page(filters.filtered(list(VCPUS), call.filters, seen))
    return {"InstanceTypes": [view(name) for name in some], **more}


def describe_instance_type_offerings(call: Call) -> Result:
    zones = [call.region.name] if call.arguments.get("LocationType", "region") == "region" else [
        *call.region.subnets.values()
    ]  # fmt: skip
    rows = [(kind, zone) for kind in VCPUS for zone in zones]
    found = filters.filtered(rows, call.filters, lambda row: {"instance-type": [row[0]], "location": [row[1]]})
    some, more = call.page(found)
    return {"InstanceTypeOfferings": [{"InstanceType": kind, "Location": zone} for kind, zone in some], **more}


def get_parameters(call: Call) -> Result:
    names = call.arguments["Names"]
    if len(names) > 10:
        raise ApiError("ValidationException", "names: Member must have length less than or equal to 10")
    known = [name for name in names if name in PARAMETERS]
    found = [{"Name": name, "Value": PARAMETERS[name], "Type": "String", "Version": 1} for name in known]
    return {"Parameters": found, "InvalidParameters": [name for name in names if name not in PARAMETERS]}


def get_caller_identity(_call: Call) -> Result:
    return {"UserId": "AIDAEMULATED", "Account": ACCOUNT, "Arn": f"arn:aws:iam::{ACCOUNT}:user/emulated"}


def get_service_quota(call: Call) -> Result:
    if call.arguments.get("QuotaCode") != "L-1216C47A":
        raise ApiError("NoSuchResourceException", "there is no such quota")
    name = "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances"
    return {"Quota": {"ServiceCode": "ec2", "QuotaCode": "L-1216C47A", "QuotaName": name,
                      "Value": float(call.behaviour.vcpus), "Unit": "None"}}  # fmt: skip


def get_products(call: Call) -> Result:
    wanted = {one["Field"]: one["Value"] for one in call.arguments.get("Filters", ())}
    price = PRICES.get(wanted.get("instanceType", ""))
    if price is None or wanted.get("regionCode") not in call.behaviour.regions.split(","):
        return {"FormatVersion": "aws_v1", "PriceList": []}
    hour = {"unit": "Hrs", "pricePerUnit": {"USD": f"{price:.10f}"}, "description": "invented"}
    terms = {"OnDemand": {"SKU.TERM": {"priceDimensions": {"SKU.TERM.RATE": hour}}}}
    product = {"product": {"productFamily": "Compute Instance", "attributes": wanted, "sku": "SKU"}, "terms": terms}
    return {"FormatVersion": "aws_v1", "PriceList": [json.dumps(product)]}


READS: dict[str, Callable[[Call], Result]] = {
    "DescribeInstances": describe_instances,
    "DescribeVolumes": describe_volumes,
    "DescribeNetworkInterfaces": describe_network_interfaces,
    "DescribeSecurityGroups": describe_security_groups,
    "DescribeKeyPairs": describe_key_pairs,
    "DescribeRegions": describe_regions,
    "DescribeVpcs": describe_vpcs,
    "DescribeSubnets": describe_subnets,
    "DescribeImages": describe_images,
    "DescribeInstanceTypes": describe_instance_types,
    "DescribeInstanceTypeOfferings": describe_instance_type_offerings,
    "GetParameters": get_parameters,
    "GetCallerIdentity": get_caller_identity,
    "GetServiceQuota": get_service_quota,
    "GetProducts": get_products,
}
CHANGES: dict[str, Callable[[Call], Result]] = {
    "RunInstances": run_instances,
    "TerminateInstances": terminate_instances,
    "StopInstances": stop_instances,
    "StartInstances": start_instances,
    "CreateTags": create_tags,
    "DeleteTags": delete_tags,
    "DeleteVolume": delete_volume,
    "DeleteNetworkInterface": delete_network_interface,
    "CreateVolume": create_volume,
    "AttachVolume": attach_volume,
    "DetachVolume": detach_volume,
    "CreateNetworkInterface": create_network_interface,
    "AttachNetworkInterface": attach_network_interface,
    "ModifyNetworkInterfaceAttribute": modify_network_interface_attribute,
    "ModifyInstanceAttribute": modify_instance_attribute,
    "CreateSecurityGroup": create_security_group,
    "AuthorizeSecurityGroupIngress": authorize_security_group_ingress,
    "DeleteSecurityGroup": delete_security_group,
    "ImportKeyPair": import_key_pair,
    "DeleteKeyPair": delete_key_pair,
}
