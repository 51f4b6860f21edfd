"""What carries calls to places, as the settings say.

Temporal's client is loaded by the first call, so that commands which call no place start as fast as without it.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from batchwright.app.backing_services import TemporalConfig
from batchwright.app.settings import Settings
from batchwright.errors import FleetPackageMissing
from batchwright.places.carrier import Carrier


def with_carrier(settings: Settings) -> Settings:
    """The settings, with what carries calls to places if they name a Temporal cluster."""
    return settings if settings.temporal is None else replace(settings, carrier=PlaceCarrier(settings.temporal))


class PlaceCarrier:
    """See Carrier; one for all runs of a process."""

    def __init__(self, config: TemporalConfig) -> None:
        self._config = config
        self._carrier: Carrier | None = None

    async def carry(
        self, place: str, call: str, message: bytes, limit: float, live: Callable[[bytes], None] | None = None
    ) -> bytes:
        """See Carrier. Raises FleetPackageMissing."""
        if self._carrier is None:
            try:
                from batchwright.fleet.temporal_carrier import TemporalCarrier
            except ModuleNotFoundError as error:
                raise FleetPackageMissing(f"calls to places need the package {error.name}") from error
            self._carrier = TemporalCarrier(self._config)
        return await self._carrier.carry(place, call, message, limit, live)
