"""What servers cost: what a price is for, and the price itself."""

from __future__ import annotations

from msgspec import Struct

Offer = tuple[str, str, str]  # provider, plan, zone: what a price is for


class Price(Struct, frozen=True, omit_defaults=True):
    """What one server of a plan in a zone costs; `per_hour` is None if that is not known, and `why` says why not."""

    provider: str
    plan: str
    zone: str
    per_hour: float | None = None
    currency: str = ""
    why: str = ""
