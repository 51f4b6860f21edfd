"""Processes that tests begin inside an event loop, whose pipes are closed before the loop is."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any


@contextlib.asynccontextmanager
async def child(*words: str, **how: Any) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process, which is killed at the end if it still runs.

    asyncio closes a pipe only when the last writer is gone: without this, a test that ends first leaves it to the
    garbage collector, whose warning then fails whatever test runs at that moment. So does a process that was killed
    and not waited for.
    """
    process = await asyncio.create_subprocess_exec(*words, **how)
    try:
        yield process
    finally:
        process._transport.close()  # type: ignore[attr-defined]
        process._transport.get_extra_info("subprocess").wait()  # type: ignore[attr-defined]
