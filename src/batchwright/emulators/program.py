"""An emulated cloud as a program: it serves until it is told to stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack

from batchwright.errors import UsageError


async def until_stopped(serving: AbstractAsyncContextManager[str], told: Callable[[str], None]) -> None:
    """Serve until Ctrl-C or a SIGTERM; `told` is given the address as soon as it can be asked. Raises UsageError."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        try:
            url = await stack.enter_async_context(serving)
        except OSError as error:
            raise UsageError(f"cannot listen: {error.strerror or error}", hint="Use another --port, or 0.") from error
        told(url)
        await stop.wait()
