"""Checks before servers are created: permissions by dry runs, and the quota."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from batchwright.model.diagnostic import Diagnostic, Severity
from batchwright.model.fault import FaultClass
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.aws import payload, quotas
from batchwright.providers.aws.client import AwsClient
from batchwright.providers.aws.faults import ERRORS, code_of, explain, kind_of
from batchwright.providers.aws.zones import region_of

_GROUP = {"GroupName": "batchwright-rehearsal", "Description": "never made", "DryRun": True}
_KEY = {"KeyName": "batchwright-rehearsal", "PublicKeyMaterial": b"ssh-ed25519 AAAA", "DryRun": True}


async def usage(connection: AwsClient, regions: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Used and limit by region, where AWS tells them."""
    found = await asyncio.gather(*(_limit(connection, region) for region in regions))
    return {f"vCPUs {region}": known for region, (known, _) in zip(regions, found, strict=True) if known is not None}


async def _limit(connection: AwsClient, region: str) -> tuple[tuple[float, float] | None, str]:
    """Used and limit, or why they are unknown: creating servers does not need that permission."""
    try:
        return await quotas.processors(connection, region), ""
    except ERRORS as error:
        return None, explain(error, 0.0).message
    except ValueError as error:
        return None, str(error)


async def problems(connection: AwsClient, requests: Sequence[ServerRequest]) -> list[Diagnostic]:
    """Problems for servers of any regions. Raises botocore's exceptions."""
    by_region: dict[str, list[ServerRequest]] = {}
    for request in requests:
        by_region.setdefault(region_of(request.zone), []).append(request)
    found = await asyncio.gather(*(_in_region(connection, region, some) for region, some in by_region.items()))
    return [problem for part in found for problem in part]


async def _in_region(connection: AwsClient, region: str, requests: Sequence[ServerRequest]) -> list[Diagnostic]:
    first = requests[0]
    tries: tuple[tuple[str, Mapping[str, Any]], ...] = (
        ("run_instances", payload.rehearsal(first)),
        ("create_security_group", {**_GROUP, "VpcId": first.resolved["vpc"]}),
        ("import_key_pair", _KEY),
    )
    answers = await asyncio.gather(*(_rehearse(connection, region, name, asked) for name, asked in tries))
    found = [problem for problem in answers if problem is not None]
    known, unknown = await _limit(connection, region)
    if unknown:
        message = f"the limit of vCPUs in {region} is not known: {unknown}"
        found.append(Diagnostic("limit-unknown", message, "The run does not need it.", severity=Severity.WARNING))
    more = sum(int(one.resolved.get("vcpus", "0")) for one in requests if quotas.is_standard(one.plan))
    if known is not None and known[0] + more > known[1]:
        used, limit = known
        message = f"the account may run {limit:.0f} vCPUs in {region}: {used:.0f} are used, {more} more are needed"
        found.append(Diagnostic("quota", message, "Ask for less, or raise the limit (Service Quotas).", field="plan"))
    return found


async def _rehearse(connection: AwsClient, region: str, name: str, asked: Mapping[str, Any]) -> Diagnostic | None:
    try:
        await connection.change(region, name, **asked)
    except ClientError as error:
        code = code_of(error)
        if code == "DryRunOperation" or kind_of(code) is FaultClass.CONFLICT:
            return None
        if kind_of(code) in (None, FaultClass.THROTTLE):
            raise
        fault = explain(error, 0.0)
        code = "not-allowed" if fault.kind is FaultClass.AUTH else "refused"
        return Diagnostic(code, f"{region}: {fault.message}", fault.hint)
    return None
