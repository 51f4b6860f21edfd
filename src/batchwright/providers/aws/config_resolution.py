"""Resolves the names in server configurations to ids of a region: types, zones, networks, images. Only reads."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from botocore.exceptions import ClientError
from msgspec import Struct

from batchwright.model.diagnostic import Diagnostic
from batchwright.model.plan import ServerFacts
from batchwright.model.workflow import ServerConfig
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.aws import images, instance_type_aliases, zones
from batchwright.providers.aws.client import AwsClient
from batchwright.providers.aws.faults import code_of
from batchwright.providers.aws.lookup import FILTER_MAX, only

_SUBNETS = "Name a subnet of that zone: `aws ec2 describe-subnets` lists them."
PARAMETERS_MAX = 10  # names of one GetParameters


class AwsOffers(Struct):
    """What a region offers of the things asked for."""

    types: dict[str, Any] = {}
    placed: set[tuple[str, str]] = set()  # type, availability zone
    subnets: dict[str, Any] = {}
    default_vpc: str = ""
    default_zones: set[str] = set()
    parameters: dict[str, str] = {}
    images: dict[str, Any] = {}


async def resolve(
    connection: AwsClient, region: str, configs: Sequence[ServerConfig]
) -> list[ServerRequest | Diagnostic]:
    """One answer per configuration, in order; all are of this region. Raises botocore's exceptions."""
    offers = await _offers(connection, region, configs)
    return [_request(offers, config) for config in configs]


async def _offers(connection: AwsClient, region: str, configs: Sequence[ServerConfig]) -> AwsOffers:
    types = sorted({instance_type_aliases.instance_type(config.plan) for config in configs})
    networks = sorted({config.network for config in configs if config.network})
    found, placed, vpcs, defaults, subnets = await asyncio.gather(
        _chunks(connection, region, "describe_instance_types", "InstanceTypes", "instance-type", types),
        _chunks(connection, region, "describe_instance_type_offerings", "InstanceTypeOfferings", "instance-type", types,
                LocationType="availability-zone"),
        connection.listing(region, "describe_vpcs", "Vpcs", Filters=[only("is-default", "true")]),
        connection.listing(region, "describe_subnets", "Subnets", Filters=[only("default-for-az", "true")]),
        _chunks(connection, region, "describe_subnets", "Subnets", "subnet-id", networks),
    )  # fmt: skip
    offers = AwsOffers(
        types={row["InstanceType"]: row for row in found},
        placed={(row["InstanceType"], row["Location"]) for row in placed},
        subnets={row["SubnetId"]: row for row in subnets},
        default_vpc=vpcs[0]["VpcId"] if vpcs else "",
        default_zones={row["AvailabilityZone"] for row in defaults},
    )
    await _add_images(connection, region, configs, offers)
    return offers


async def _add_images(connection: AwsClient, region: str, configs: Sequence[ServerConfig], offers: AwsOffers) -> None:
    wanted = {(config.image or images.DEFAULT, _architecture(offers, config)) for config in configs}
    names = sorted({name for image, kind in wanted if (name := images.parameter(image, kind))})
    for i in range(0, len(names), PARAMETERS_MAX):
        answer = await connection.read(region, "get_parameters", service="ssm", Names=names[i : i + PARAMETERS_MAX])
        offers.parameters.update({row["Name"]: row["Value"] for row in answer["Parameters"]})
    ids = {image for image, _ in wanted if image.startswith("ami-")} | set(offers.parameters.values())
    offers.images.update({row["ImageId"]: row for row in await _images(connection, region, sorted(ids))})


async def _images(connection: AwsClient, region: str, ids: list[str]) -> list[Any]:
    """Images by id. A filter would hide deprecated ones; a missing id fails the whole call, so it is dropped and
    repeated.
    """
    if not ids:
        return []
    try:
        return await connection.listing(region, "describe_images", "Images", ImageIds=ids)
    except ClientError as error:
        if not code_of(error).startswith("InvalidAMIID"):
            raise
    if len(ids) == 1:
        return []
    parts = await asyncio.gather(*(_images(connection, region, [one]) for one in ids))
    return [row for part in parts for row in part]


async def _chunks(
    connection: AwsClient, region: str, operation: str, key: str, name: str, values: list[str], **more: Any
) -> list[Any]:
    """Rows whose attribute is one of the values. The filter omits values that do not exist."""
    found: list[Any] = []
    for i in range(0, len(values), FILTER_MAX):
        filters = [only(name, *values[i : i + FILTER_MAX])]
        found += await connection.listing(region, operation, key, Filters=filters, **more)
    return found


def _architecture(offers: AwsOffers, config: ServerConfig) -> str:
    row = offers.types.get(instance_type_aliases.instance_type(config.plan), {})
    supported = row.get("ProcessorInfo", {}).get("SupportedArchitectures", ["x86_64"])
    return "arm64" if "arm64" in supported else "x86_64"


def _request(offers: AwsOffers, config: ServerConfig) -> ServerRequest | Diagnostic:
    kind, region = instance_type_aliases.instance_type(config.plan), zones.region_of(config.zone)
    if kind not in offers.types:
        hint = "Use another plan or zone: `aws ec2 describe-instance-types` lists what a region has."
        return Diagnostic("unknown-plan", f"AWS has no instance type {kind} in {region}", hint, field="plan")
    place = _place(offers, config, kind)
    if isinstance(place, Diagnostic):
        return place
    image = _image(offers, config)
    if isinstance(image, Diagnostic):
        return image
    size = offers.types[kind]
    resolved = {
        **place,
        **image,
        "memory_mb": str(size["MemoryInfo"]["SizeInMiB"]),
        "vcpus": str(size["VCpuInfo"]["DefaultVCpus"]),
    }
    return ServerRequest.of(
        config,
        config.image or images.DEFAULT,
        resolved,
        ServerFacts(size["MemoryInfo"]["SizeInMiB"], size["VCpuInfo"]["DefaultVCpus"]),
        plan=kind,
    )


def _place(offers: AwsOffers, config: ServerConfig, kind: str) -> dict[str, str] | Diagnostic:
    zone, exact = config.zone, zones.is_availability_zone(config.zone)
    if exact and (kind, zone) not in offers.placed:
        places = sorted(place for one, place in offers.placed if one == kind)
        hint = f"It does in: {', '.join(places)}" if places else "Use another plan or region."
        return Diagnostic("not-offered", f"AWS does not offer {kind} in {zone}", hint, field="zone")
    if config.network:
        subnet = offers.subnets.get(config.network)
        if subnet is None:
            return Diagnostic(
                "unknown-network", f"there is no subnet {config.network} in {zone}", _SUBNETS, field="network"
            )
        if exact and subnet["AvailabilityZone"] != zone:
            where = subnet["AvailabilityZone"]
            message = f"the subnet {config.network} is in {where}, not in {zone}"
            return Diagnostic("wrong-zone", message, _SUBNETS, field="network")
        return {"vpc": subnet["VpcId"], "subnet": config.network}
    if not offers.default_vpc:
        hint = 'Name a subnet: network = "subnet-...".'
        return Diagnostic("no-default-network", f"the account has no default VPC in {zone}", hint, field="network")
    if exact and zone not in offers.default_zones:
        hint = 'Use another zone, or name a subnet: network = "subnet-...".'
        return Diagnostic("no-default-network", f"the default VPC has no subnet in {zone}", hint, field="zone")
    if not exact and not offers.default_zones:
        hint = 'Make default subnets (aws ec2 create-default-subnet), or name a subnet: network = "subnet-...".'
        return Diagnostic("no-default-network", f"the default VPC in {zone} has no subnets", hint, field="network")
    if not exact and not any((kind, place) in offers.placed for place in offers.default_zones):
        hint = 'Use another plan, or name a subnet of another zone: network = "subnet-...".'
        return Diagnostic(
            "not-offered", f"AWS does not offer {kind} where the default VPC has subnets", hint, field="zone"
        )
    return {"vpc": offers.default_vpc}


def _image(offers: AwsOffers, config: ServerConfig) -> dict[str, str] | Diagnostic:
    wanted, kind = config.image or images.DEFAULT, _architecture(offers, config)
    name = images.parameter(wanted, kind)
    found = offers.images.get(offers.parameters.get(name, "") if name else wanted)
    if found is None:
        where = f"{wanted} for {kind}" if name else wanted
        return Diagnostic(
            "unknown-image", f"there is no image {where} in {config.zone}", "Name an image's id.", field="image"
        )
    if found["Architecture"] != kind:
        message = f"the image {wanted} is for {found['Architecture']}, and {config.plan} is {kind}"
        return Diagnostic("wrong-architecture", message, "Choose another plan or image.", field="image")
    disks = [_disk(row) for row in found.get("BlockDeviceMappings", ()) if "Ebs" in row]
    return {
        "image_id": found["ImageId"],
        "devices": ",".join(disks or [found["RootDeviceName"]]),
        "login": images.login(wanted, found.get("Name", "")),
    }


def _disk(mapping: Any) -> str:
    """The root device and the size in GiB that the image gives it, if any."""
    return f"{mapping['DeviceName']}={mapping['Ebs'].get('VolumeSize', '')}".rstrip("=")
