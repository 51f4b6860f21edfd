"""How much of the account's processor quota is used, if the credentials may query Service Quotas."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from botocore.exceptions import ClientError

from batchwright.model.fault import FaultClass
from batchwright.providers.aws.client import AwsClient
from batchwright.providers.aws.faults import code_of, kind_of
from batchwright.providers.aws.lookup import FILTER_MAX, only, rows_of
from batchwright.providers.aws.refs import RefKind

CODE = "L-1216C47A"  # "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", counted in processors
FAMILIES = "acdhimrtz"


def is_standard(instance_type: str) -> bool:
    """Whether it counts against that quota."""
    return instance_type[0] in FAMILIES and not instance_type.startswith(("inf", "mac", "hpc", "dl", "trn"))


async def processors(connection: AwsClient, region: str) -> tuple[float, float] | None:
    """Used and limit; None if there is no limit. Raises botocore's exceptions; ValueError for an invalid answer."""
    try:
        answer = await connection.read(
            region, "get_service_quota", service="service-quotas", ServiceCode="ec2", QuotaCode=CODE
        )
    except ClientError as error:
        if kind_of(code_of(error)) is FaultClass.NOT_FOUND or code_of(error).startswith("NoSuchResource"):
            return None
        raise
    if not isinstance(answer.get("Quota"), dict):
        raise ValueError("what answers is not AWS's Service Quotas")
    running = [only("instance-state-name", "pending", "running")]
    types = [row["InstanceType"] for row in await rows_of(connection, region, RefKind.INSTANCE, running)]
    sizes = await _sizes(connection, region, {one for one in types if is_standard(one)})
    limit = float(answer["Quota"]["Value"])
    return min(limit, float(sum(sizes.get(one, 0) for one in types))), limit


async def _sizes(connection: AwsClient, region: str, types: Iterable[str]) -> dict[str, int]:
    wanted = sorted(types)
    chunks = [wanted[i : i + FILTER_MAX] for i in range(0, len(wanted), FILTER_MAX)]
    found = await asyncio.gather(
        *(
            connection.listing(
                region, "describe_instance_types", "InstanceTypes", Filters=[only("instance-type", *some)]
            )
            for some in chunks
        )
    )
    return {row["InstanceType"]: row["VCpuInfo"]["DefaultVCpus"] for part in found for row in part}
