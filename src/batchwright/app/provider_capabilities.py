"""Use cases of the installed providers: what each supports, or why it cannot be used."""

from __future__ import annotations

from msgspec import Struct

from batchwright.app.settings import Settings
from batchwright.app.system_clock import SystemClock
from batchwright.errors import BatchwrightError
from batchwright.providers import registry
from batchwright.providers.base import Capabilities


class ProviderOffer(Struct, frozen=True):
    """An installed provider: what it promises, or why it cannot be used."""

    name: str
    capabilities: Capabilities | None
    trouble: str = ""
    hint: str = ""


def provider_offers(settings: Settings) -> list[ProviderOffer]:
    """Every installed provider, with what config.toml says to it; none is contacted."""
    return [_offer(name, settings.of_provider(name)) for name in registry.names()]


def _offer(name: str, settings: registry.Settings) -> ProviderOffer:
    try:
        return ProviderOffer(name, registry.connect(name, SystemClock(), settings).capabilities)
    except BatchwrightError as error:
        return ProviderOffer(name, None, error.message, error.hint)
