"""An emulated cloud as an HTTP server on the loopback interface."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from batchwright.emulators.cloud import EmulatorServer


@asynccontextmanager
async def serve(emulator: EmulatorServer, port: int = 0) -> AsyncIterator[str]:
    """Serve on the loopback interface; gives the base URL. Port 0 is any free one."""
    runner = web.AppRunner(emulator.app(), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
        await asyncio.sleep(0)  # connections that a client kept open are closed in the next turn of the loop
