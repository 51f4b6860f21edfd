"""Use cases of the installed providers: what each supports, or why it cannot be used."""

from __future__ import annotations

import asyncio

from msgspec import Struct

from batchwright.app.place_ports import PlacePorts
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


async def provider_offers(settings: Settings) -> list[ProviderOffer]:
    """Every installed provider, with what config.toml says to it.

    A worker at the place of a provider is asked; nothing else is contacted.
    """
    places = PlacePorts(settings)
    return list(await asyncio.gather(*(_offer(name, settings, places) for name in registry.names())))


async def _offer(name: str, settings: Settings, places: PlacePorts) -> ProviderOffer:
    try:
        if places.place_of(name):
            return ProviderOffer(name, await places.promises(name))
        return ProviderOffer(name, await asyncio.to_thread(promises_here, name, settings))
    except BatchwrightError as error:
        return ProviderOffer(name, None, error.message, error.hint)


def promises_here(name: str, settings: Settings) -> Capabilities:
    """What the adapter on this machine promises; nothing is contacted. Raises BatchwrightError."""
    return registry.connect(name, SystemClock(), settings.of_provider(name)).capabilities
