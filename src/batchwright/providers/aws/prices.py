"""Prices of instances per hour, from AWS's price list: Linux, on demand, shared; without disks, addresses and traffic.

The list's shape: "AWS Price List Query API" in the AWS Billing user guide. It is served in few regions, for all.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.aws.client import AwsClient
from batchwright.providers.aws.zones import region_of
from batchwright.providers.base import Quote

ENDPOINT_REGION = "us-east-1"
CURRENCY = "USD"

_SAME = {
    "operatingSystem": "Linux",
    "tenancy": "Shared",
    "preInstalledSw": "NA",
    "capacitystatus": "Used",
    "licenseModel": "No License required",
}


async def quote(connection: AwsClient, requests: Sequence[ServerRequest]) -> Quote | None:
    """The price of all requests; None if one is not listed. Raises botocore's exceptions; ValueError for an invalid
    answer.
    """
    wanted = sorted({(request.plan, region_of(request.zone)) for request in requests})
    found = await asyncio.gather(*(_price(connection, kind, region) for kind, region in wanted))
    prices = dict(zip(wanted, found, strict=True))
    each = [prices[request.plan, region_of(request.zone)] for request in requests]
    known = [price for price in each if price is not None]
    return Quote(round(sum(known), 6), CURRENCY) if known and len(known) == len(each) else None


async def _price(connection: AwsClient, kind: str, region: str) -> float | None:
    fields = {**_SAME, "instanceType": kind, "regionCode": region}
    filters = [{"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in fields.items()]
    answer = await connection.read(
        ENDPOINT_REGION, "get_products", service="pricing", ServiceCode="AmazonEC2", Filters=filters
    )
    if not isinstance(answer.get("PriceList"), list):
        raise ValueError("what answers is not AWS's price list")
    prices = {price for text in answer["PriceList"] for price in _hourly(json.loads(text))}
    return prices.pop() if len(prices) == 1 else None  # with more than one it is ambiguous


def _hourly(product: Any) -> list[float]:
    terms = product.get("terms", {}).get("OnDemand", {}).values()
    rows = [row for term in terms for row in term.get("priceDimensions", {}).values() if row.get("unit") == "Hrs"]
    return [float(row["pricePerUnit"][CURRENCY]) for row in rows if CURRENCY in row.get("pricePerUnit", {})]
