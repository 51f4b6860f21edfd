"""The provider whose servers stand behind those of an emulator."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from batchwright.app.settings import Settings
from batchwright.app.system_clock import SystemClock
from batchwright.journal.store_folder import make_private
from batchwright.providers import registry
from batchwright.providers.base import Provider


@asynccontextmanager
async def opened(name: str, settings: Settings, emulated: str) -> AsyncIterator[Provider]:
    """With a state folder of its own, so that no run ever takes these servers for its own.

    Raises ProviderUnavailable.
    """
    folder = settings.state_dir / "emulators" / emulated
    make_private(settings.state_dir)
    make_private(folder)
    provider = registry.connect(name, SystemClock(), {"state_dir": str(folder)})
    await provider.open()
    try:
        yield provider
    finally:
        await provider.aclose()
