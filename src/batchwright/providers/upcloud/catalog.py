"""What UpCloud offers: plans, zones, templates, prices. Pure: answers in, resolved requests out."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any

from msgspec import Struct

from batchwright.model.diagnostic import Diagnostic
from batchwright.model.plan import ServerFacts
from batchwright.model.workflow import ServerConfig
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.base import Quote
from batchwright.providers.diagnostics import not_offered
from batchwright.providers.upcloud.rows import entries, number

DEFAULT_IMAGE = "debian-12"
DISK_MIN = 10  # GB, the smallest disk that UpCloud makes
_NOISE = re.compile(r"\([^()]*\)|\bgnu/linux\b|\bserver\b|\blts\b")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class PlanOffer(Struct, frozen=True):
    """One plan; `disk_gb` 0 where the plan comes without a disk."""

    name: str
    cores: int
    memory_mb: int
    disk_gb: int
    tier: str


class Template(Struct, frozen=True):
    """Something a disk is cloned from. `zone` is empty where it is everywhere."""

    uuid: str
    title: str
    size_gb: int
    zone: str
    cloud_init: bool

    @property
    def name(self) -> str:
        """The short name that users write: "debian-12", "ubuntu-24.04"."""
        return short_name(self.title)


class UpCloudCatalog(Struct, frozen=True):
    """All of it, as it was when the provider was opened. `prices` is zone -> item -> credits per hour for one."""

    plans: dict[str, PlanOffer]
    zones: dict[str, str]
    templates: tuple[Template, ...]
    prices: dict[str, dict[str, float]]


def short_name(title: str) -> str:
    """ "Debian GNU/Linux 12 (Bookworm)" -> "debian-12"; "Ubuntu Server 24.04 LTS (Noble Numbat)" -> "ubuntu-24.04"."""
    return "-".join(_NOISE.sub(" ", title.lower()).split())


def offers_from(plans: Any, zones: Any, templates: Sequence[Any], prices: Any) -> UpCloudCatalog:
    """From the bodies of /plan, /zone and /price, and the rows of /storage/template."""
    return UpCloudCatalog(
        {str(row["name"]): _plan(row) for row in entries(plans, "plans", "plan") if "name" in row},
        {str(row["id"]): str(row.get("description", "")) for row in entries(zones, "zones", "zone") if "id" in row},
        tuple(_template(row) for row in templates),
        {str(row["name"]): _prices(row) for row in entries(prices, "prices", "zone") if "name" in row},
    )


def _plan(row: dict[str, Any]) -> PlanOffer:
    cores, memory, disk = (int(number(row.get(f))) for f in ("core_number", "memory_amount", "storage_size"))
    return PlanOffer(str(row["name"]), cores, memory, disk, str(row.get("storage_tier") or "maxiops"))


def _template(row: dict[str, Any]) -> Template:
    cloud_init = row.get("template_type", "cloud-init") == "cloud-init"
    size, zone = int(number(row.get("size"))), str(row.get("zone") or "")
    return Template(str(row["uuid"]), str(row.get("title", "")), size, zone, cloud_init)


def _prices(row: dict[str, Any]) -> dict[str, float]:
    items = ((item, price) for item, price in row.items() if isinstance(price, dict))
    return {item: number(price.get("price")) / (number(price.get("amount")) or 1.0) for item, price in items}


def resolved(config: ServerConfig, offers: UpCloudCatalog) -> ServerRequest | list[Diagnostic]:
    """Names to ids, or all that stands against it."""
    plan, template = offers.plans.get(config.plan), _find_template(config.image or DEFAULT_IMAGE, offers)
    problems = []
    if plan is None:
        problems.append(_unknown("plan", config.plan, offers.plans))
    if config.zone not in offers.zones:
        problems.append(_unknown("zone", config.zone, offers.zones))
    if isinstance(template, Diagnostic):
        problems.append(template)
    elif template.zone and template.zone != config.zone:
        message = f'the template "{template.title}" is in {template.zone}, not in {config.zone}'
        problems.append(Diagnostic("image-elsewhere", message, "Use that zone, or copy the template.", field="image"))
    if problems or plan is None or isinstance(template, Diagnostic):
        return problems
    disk = max(plan.disk_gb, template.size_gb, DISK_MIN)
    ids = {"template": template.uuid, "cores": str(plan.cores), "memory_mb": str(plan.memory_mb)}
    ids |= {"disk_gb": str(disk), "tier": plan.tier, "host_key": "given" if template.cloud_init else "unknown"}
    ids |= {"network": config.network} if config.network else {}
    return ServerRequest.of(config, template.name, ids, ServerFacts(plan.memory_mb, plan.cores))


def _find_template(image: str, offers: UpCloudCatalog) -> Template | Diagnostic:
    """By id, by title, or by the short name of a title."""
    if _UUID.fullmatch(image.lower()):
        found = [t for t in offers.templates if t.uuid == image.lower()]
    else:
        found = [t for t in offers.templates if image in (t.title, t.name)]
    if not found:
        return _unknown("image", image, [t.name for t in offers.templates])
    if len({t.uuid for t in found}) > 1:
        ids = ", ".join(sorted(t.uuid for t in found))
        return Diagnostic(
            "ambiguous-image", f'there are several images "{image}"', f"Name one by its id: {ids}", field="image"
        )
    return found[0]


def _unknown(field: str, value: str, offered: Collection[str]) -> Diagnostic:
    return not_offered(field, value, offered, f'UpCloud has no {field} "{value}"')


def quote(requests: Sequence[ServerRequest], offers: UpCloudCatalog) -> Quote | None:
    """The plans' list prices, which include their disk and one public address; None where one is not listed."""
    prices = [offers.prices.get(request.zone, {}).get(f"server_plan_{request.plan}") for request in requests]
    known = [price for price in prices if price is not None]
    if not known or len(known) < len(prices):
        return None
    return Quote(round(sum(known) / 100, 6), "EUR")  # a credit is a cent; see "not yet verified live"
