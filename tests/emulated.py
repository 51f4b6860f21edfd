"""An emulated UpCloud in a thread of its own, for tests whose own event loop comes and goes."""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType

from batchwright.testing.emulators.upcloud import Emulation, Emulator, serve
from batchwright.testing.emulators.upcloud.app import TOKEN


class Running:
    """Serves while the `with` lasts. `environ` is what a client needs."""

    def __init__(self, emulation: Emulation | None = None) -> None:
        self.emulator = Emulator(emulation or Emulation())
        self.url = ""
        self._ready, self._over = threading.Event(), asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def environ(self) -> dict[str, str]:
        return {"UPCLOUD_API_URL": self.url, "UPCLOUD_TOKEN": TOKEN}

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        async with serve(self.emulator) as self.url:
            self._ready.set()
            await self._over.wait()

    def __enter__(self) -> Running:
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(30)
