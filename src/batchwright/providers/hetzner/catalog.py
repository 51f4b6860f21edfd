"""What Hetzner offers: server types, locations, images, prices. Pure: rows in, resolved requests out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from msgspec import Struct

from batchwright.errors import ProviderUnavailable
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.workflow import ServerConfig
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.base import Quote
from batchwright.providers.diagnostics import not_offered

DEFAULT_IMAGE = "debian-12"

Row = dict[str, Any]


class HetznerCatalog(Struct, frozen=True):
    """The offers, as of the first request. `addresses` maps a location to the price of an IPv4 address per hour."""

    types: dict[str, Row]
    locations: tuple[str, ...]
    images: tuple[Row, ...]
    addresses: dict[str, float]
    currency: str


def offers_from(types: Sequence[Row], locations: Sequence[Row], images: Sequence[Row], pricing: Row) -> HetznerCatalog:
    """From the rows of /server_types, /locations and /images, and the body of /pricing."""
    told = pricing.get("pricing", {})
    fours = [row for row in told.get("primary_ips", ()) if row.get("type") == "ipv4"]
    prices = {str(price["location"]): _hourly(price) for row in fours for price in row.get("prices", ())}
    known = {str(row["name"]): row for row in types}
    places = tuple(str(row["name"]) for row in locations)
    return HetznerCatalog(known, places, tuple(images), prices, str(told.get("currency", "")))


def resolved(
    config: ServerConfig, offers: HetznerCatalog, taken: Mapping[str, str]
) -> ServerRequest | list[Diagnostic]:
    """Resolve names to ids, or list all problems. `taken`: names and ids of servers that are not Batchwright's."""
    kind = offers.types.get(config.plan)
    found = []
    if kind is None:
        found.append(_unknown("plan", config.plan, offers.types))
    if config.zone not in offers.locations:
        found.append(_unknown("zone", config.zone, offers.locations))
    elif kind is not None and _price(kind, config.zone) is None:
        elsewhere = ", ".join(str(price["location"]) for price in kind.get("prices", ()))
        message = f"Hetzner has no {config.plan} in {config.zone}"
        found.append(Diagnostic("plan-elsewhere", message, f"It is in: {elsewhere}", field="zone"))
    if config.name in taken:
        message = f'the project has a server "{config.name}" ({taken[config.name]}) that is not Batchwright\'s'
        found.append(Diagnostic("name-taken", message, "Names are unique at Hetzner: use another one.", field="name"))
    if kind is None:
        return found
    image = _image(config.image or DEFAULT_IMAGE, str(kind.get("architecture", "x86")), offers)
    if isinstance(image, Diagnostic) or found:
        return [*found, image] if isinstance(image, Diagnostic) else found
    ids = {"image": str(image["id"])} | ({"network": config.network} if config.network else {})
    return ServerRequest.of(config, str(image.get("name") or image["id"]), ids)


def quote(requests: Sequence[ServerRequest], offers: HetznerCatalog) -> Quote | None:
    """Net list prices with one IPv4 address each; None if one is not listed."""
    total = 0.0
    for request in requests:
        price = _price(offers.types.get(request.plan, {}), request.zone)
        if price is None or request.zone not in offers.addresses:
            return None
        total += price + offers.addresses[request.zone]
    return Quote(round(total, 6), offers.currency) if requests else None


def cheapest(offers: HetznerCatalog) -> tuple[str, str]:
    """Server type and location of the lowest price. Raises ProviderUnavailable when none is listed."""
    priced = _priced(offers)
    if not priced:
        raise ProviderUnavailable("Hetzner lists no price of a server type", hint="Nothing was created.")
    _, plan, location = priced[0]
    return plan, location


def cheapest_beside(offers: HetznerCatalog, plan: str, location: str) -> str:
    """The type of the lowest price that a new server of another one can get there; empty if there is none."""
    one = offers.types[plan]
    alike = [
        name
        for _, name, place in _priced(offers)
        if (name, place) != (plan, location) and place == location
        if offers.types[name].get("disk", 0) >= one.get("disk", 0)
        if all(offers.types[name].get(key) == one.get(key) for key in ("architecture", "storage_type"))
    ]
    return alike[0] if alike else ""


def _priced(offers: HetznerCatalog) -> list[tuple[float, str, str]]:
    """Price, type and location of all that is sold, the lowest price first."""
    return sorted(
        (_hourly(price), plan, str(price["location"]))
        for plan, kind in offers.types.items()
        for price in kind.get("prices", ())
        if price.get("location") in offers.locations
    )


def _image(wanted: str, architecture: str, offers: HetznerCatalog) -> Row | Diagnostic:
    """The image by id, or by a name that fits the server type."""
    fitting = [row for row in offers.images if row.get("architecture", "x86") == architecture]
    for row in fitting:
        if wanted == str(row["id"]) or (wanted == row.get("name") and row.get("type", "system") != "snapshot"):
            return row
    return _unknown("image", wanted, [str(row["name"]) for row in fitting if row.get("name")])


def _price(kind: Row, location: str) -> float | None:
    return next((_hourly(price) for price in kind.get("prices", ()) if price.get("location") == location), None)


def _hourly(price: Row) -> float:
    return float(price["price_hourly"]["net"])


def _unknown(field: str, value: str, offered: Collection[str]) -> Diagnostic:
    return not_offered(field, value, offered, f'Hetzner has no {field} "{value}"')
