"""What the emulated Hetzner sells: a few server types, locations and images. Prices are not Hetzner's."""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]

_SOLD_EVERYWHERE = ("fsn1", "nbg1", "hel1", "ash")
LOCATIONS: tuple[Row, ...] = tuple(
    {"id": n, "name": name, "city": city, "country": country, "network_zone": zone}
    for n, (name, city, country, zone) in enumerate(
        (
            ("fsn1", "Falkenstein", "DE", "eu-central"),
            ("nbg1", "Nuremberg", "DE", "eu-central"),
            ("hel1", "Helsinki", "FI", "eu-central"),
            ("ash", "Ashburn, VA", "US", "us-east"),
        ),
        1,
    )
)


def _price(net: float) -> Row:
    return {"net": f"{net:.10f}", "gross": f"{net * 1.19:.15f}"}


def _type(number: int, name: str, cores: int, memory: float, disk: int, architecture: str, net: float) -> Row:
    places = _SOLD_EVERYWHERE if architecture == "x86" else _SOLD_EVERYWHERE[:3]
    prices = [{"location": place, "price_hourly": _price(net), "price_monthly": _price(net * 624)} for place in places]
    told = {"id": number, "name": name, "description": name.upper(), "cores": cores, "memory": memory, "disk": disk}
    return {**told, "architecture": architecture, "cpu_type": "shared", "storage_type": "local", "prices": prices}


TYPES: tuple[Row, ...] = (
    _type(104, "cx23", 2, 4.0, 40, "x86", 0.0056),
    _type(105, "cx33", 4, 8.0, 80, "x86", 0.0088),
    _type(22, "cpx11", 2, 2.0, 40, "x86", 0.0072),
    _type(45, "cax11", 2, 4.0, 40, "arm", 0.0061),
)

IMAGES: tuple[Row, ...] = tuple(
    {"id": number, "name": name, "type": "system", "status": "available", "architecture": architecture, "disk_size": 5}
    for number, name, architecture in (
        (114690387, "debian-12", "x86"),
        (114690389, "debian-12", "arm"),
        (161547269, "ubuntu-24.04", "x86"),
        (161547270, "ubuntu-24.04", "arm"),
    )
)

PRICING: Row = {
    "pricing": {
        "currency": "EUR",
        "vat_rate": "19.000000",
        "primary_ips": [
            {
                "type": kind,
                "prices": [
                    {"location": place, "price_hourly": _price(net), "price_monthly": _price(net * 624)}
                    for place in _SOLD_EVERYWHERE
                ],
            }
            for kind, net in (("ipv4", 0.0008), ("ipv6", 0.0))
        ],
    }
}
