"""A proxy in front of a service: it takes a path off the address and passes on what comes, at once."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator

import aiohttp
from aiohttp import web

OWN = {"host", "connection", "transfer-encoding", "content-length", "keep-alive"}  # headers of one way only


@contextlib.contextmanager
def stripping_proxy(prefix: str, origin: str) -> Iterator[str]:
    """Its address; what lies below `prefix` is asked of `origin` without it."""
    ready: asyncio.Queue[str] | None = None
    started, address = threading.Event(), ""

    async def main() -> None:
        nonlocal address, ready
        ready = asyncio.Queue()
        async with aiohttp.ClientSession(auto_decompress=False, timeout=aiohttp.ClientTimeout(total=None)) as session:

            async def passed(request: web.Request) -> web.StreamResponse:
                path = request.raw_path.removeprefix(prefix)
                kept = {name: value for name, value in request.headers.items() if name.lower() not in OWN}
                kept |= {"Host": request.host, "X-Forwarded-Proto": "http"}
                body = await request.read()
                async with session.request(
                    request.method, origin + path, headers=kept, data=body, allow_redirects=False
                ) as answer:
                    told = web.StreamResponse(status=answer.status)
                    for name, value in answer.headers.items():
                        if name.lower() not in OWN:
                            told.headers.add(name, value)
                    await told.prepare(request)
                    async for piece in answer.content.iter_any():
                        await told.write(piece)
                    return told

            app = web.Application()
            app.router.add_route("*", prefix + "/{rest:.*}", passed)
            runner = web.AppRunner(app, shutdown_timeout=0.1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            address = f"http://127.0.0.1:{runner.addresses[0][1]}{prefix}"
            started.set()
            await ready.get()
            await runner.cleanup()

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_until_complete, args=(main(),), daemon=True)
    thread.start()
    assert started.wait(30)
    try:
        yield address
    finally:
        assert ready is not None
        loop.call_soon_threadsafe(ready.put_nowait, "")
        thread.join(30)
        loop.close()
