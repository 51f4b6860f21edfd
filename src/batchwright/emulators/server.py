"""An emulated cloud as an HTTP server on the loopback interface."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from batchwright.emulators.cloud import EmulatorServer

TURNS = 5  # of the loop, until a connection that was just accepted is known, or one that was closed is gone


@asynccontextmanager
async def serve(emulator: EmulatorServer, port: int = 0) -> AsyncIterator[str]:
    """Serve on the loopback interface; gives the base URL. Port 0 is any free one."""
    async with listening(emulator.app(), port) as found:
        yield f"http://127.0.0.1:{found}"


@asynccontextmanager
async def listening(app: web.Application, port: int = 0, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """An application that listens on the loopback interface; gives its port. No connection is left open at the end."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls)
    try:
        await site.start()
        yield runner.addresses[0][1]
        await site.stop()
        await _turns()
    finally:
        await runner.cleanup()
        await _turns()


async def _turns() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)
