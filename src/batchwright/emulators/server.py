"""An emulated cloud as an HTTP server on the loopback interface."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from aiohttp import web


class EmulatorServer(Protocol):
    """What can be served."""

    def app(self) -> web.Application:
        """For an aiohttp server."""
        ...


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
