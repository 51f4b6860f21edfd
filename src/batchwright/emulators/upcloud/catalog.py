"""What the emulated UpCloud offers: a part of the real lists, with the real names and ids."""

from __future__ import annotations

from typing import Any

ZONES = {
    "au-syd1": "Sydney #1",
    "de-fra1": "Frankfurt #1",
    "dk-cph1": "Copenhagen #1",
    "es-mad1": "Madrid #1",
    "fi-hel1": "Helsinki #1",
    "fi-hel2": "Helsinki #2",
    "nl-ams1": "Amsterdam #1",
    "pl-waw1": "Warsaw #1",
    "se-sto1": "Stockholm #1",
    "sg-sin1": "Singapore #1",
    "uk-lon1": "London #1",
    "us-chi1": "Chicago #1",
    "us-nyc1": "New York #1",
    "us-sjo1": "San Jose #1",
}
_PLANS = (  # cores, GB of memory, GB of disk, credits an hour
    (1, 1, 25, 1.04),
    (1, 2, 50, 1.93),
    (2, 4, 80, 3.87),
    (4, 8, 160, 7.74),
    (6, 16, 320, 15.48),
    (8, 32, 640, 30.95),
    (12, 48, 960, 46.43),
    (16, 64, 1280, 61.9),
    (20, 96, 1920, 92.86),
    (20, 128, 2048, 123.81),
)
PLANS: dict[str, dict[str, Any]] = {
    f"{cores}xCPU-{gb}GB": {
        "name": f"{cores}xCPU-{gb}GB",
        "core_number": cores,
        "memory_amount": gb * 1024,
        "storage_size": disk,
        "storage_tier": "maxiops",
        "public_traffic_out": 1024 * (1 + number),
    }
    for number, (cores, gb, disk, _) in enumerate(_PLANS)
}
PLANS["DEV-1xCPU-1GB-10GB"] = {**PLANS["1xCPU-1GB"], "name": "DEV-1xCPU-1GB-10GB", "storage_size": 10}
PRICES = {f"{cores}xCPU-{gb}GB": price for cores, gb, _, price in _PLANS} | {"DEV-1xCPU-1GB-10GB": 0.45}
_TEMPLATE = "01000000-0000-4000-8000-"
_TITLES = {
    "000020060100": "Debian GNU/Linux 11 (Bullseye)",
    "000020070100": "Debian GNU/Linux 12 (Bookworm)",
    "000020080100": "Debian GNU/Linux 13 (Trixie)",
    "000030220200": "Ubuntu Server 22.04 LTS (Jammy Jellyfish)",
    "000030240200": "Ubuntu Server 24.04 LTS (Noble Numbat)",
}
TEMPLATES: dict[str, dict[str, Any]] = {
    _TEMPLATE + number: {
        "access": "public",
        "labels": [],
        "license": 0,
        "size": 4,
        "state": "online",
        "template_type": "cloud-init",
        "tier": "maxiops",
        "title": title,
        "type": "template",
        "uuid": _TEMPLATE + number,
    }
    for number, title in _TITLES.items()
}


def plans() -> dict[str, Any]:
    """The body of /plan."""
    return {"plans": {"plan": list(PLANS.values())}}


def zones() -> dict[str, Any]:
    """The body of /zone."""
    rows = [{"id": key, "description": text, "public": "yes"} for key, text in ZONES.items()]
    return {"zones": {"zone": rows}}


def prices() -> dict[str, Any]:
    """The body of /price; the same everywhere."""
    items: dict[str, Any] = {f"server_plan_{plan}": {"amount": 1, "price": price} for plan, price in PRICES.items()}
    items |= {"storage_maxiops": {"amount": 1, "price": 0.031}, "ipv4_address": {"amount": 1, "price": 0.417}}
    return {"prices": {"zone": [{"name": zone, **items} for zone in ZONES]}}
