"""What instances cost by the hour, by AWS's own price list, where the credentials may ask it: Linux, on demand, shared;
without disks, addresses and traffic.

The list's shape: "AWS Price List Query API" in the AWS Billing user guide. It answers in few regions, for all.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from botocore.exceptions import ClientError

from batchwright.model.outcome import FaultClass
from batchwright.model.plan import ServerRequest
from batchwright.providers.aws.connection import Connection
from batchwright.providers.aws.faults import code_of, kind_of
from batchwright.providers.aws.plans import region_of
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


async def quote(connection: Connection, requests: Sequence[ServerRequest]) -> Quote | None:
    """Of all of them; None when one price is not known, or may not be asked. Raises botocore's exceptions."""
    wanted = sorted({(request.plan, region_of(request.zone)) for request in requests})
    try:
        found = await asyncio.gather(*(_price(connection, kind, region) for kind, region in wanted))
    except ClientError as error:
        if kind_of(code_of(error)) is FaultClass.AUTH:
            return None  # a right that nobody needs to have for making servers
        raise
    prices = dict(zip(wanted, found, strict=True))
    each = [prices[request.plan, region_of(request.zone)] for request in requests]
    known = [price for price in each if price is not None]
    return Quote(round(sum(known), 6), CURRENCY) if known and len(known) == len(each) else None


async def _price(connection: Connection, kind: str, region: str) -> float | None:
    fields = {**_SAME, "instanceType": kind, "regionCode": region}
    filters = [{"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in fields.items()]
    answer = await connection.read(
        ENDPOINT_REGION, "get_products", service="pricing", ServiceCode="AmazonEC2", Filters=filters
    )
    prices = {price for text in answer["PriceList"] for price in _hourly(json.loads(text))}
    return prices.pop() if len(prices) == 1 else None  # more than one: it is not clear which


def _hourly(product: Any) -> list[float]:
    terms = product.get("terms", {}).get("OnDemand", {}).values()
    rows = [row for term in terms for row in term.get("priceDimensions", {}).values() if row.get("unit") == "Hrs"]
    return [float(row["pricePerUnit"][CURRENCY]) for row in rows if CURRENCY in row.get("pricePerUnit", {})]
