"""A stand-in for a SurrealDB server: the embedded engine behind a real WebSocket that speaks the SDK's protocol.

The engine's `execute` takes and gives the same CBOR messages as a server's WebSocket. The bridge runs in a thread of
its own, so that clients in any loop, thread or process can use it, and it can cut connections around a message.

The embedded storages lose changes of transactions that meet (which is why a folder has one writer), so the bridge lets
one request in at a time, as if the storage ordered them; `ordered=False` shows the engine as it is. The conflicts that
a server reports are played.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from surrealdb._surrealdb_ext import AsyncEmbeddedDB
from surrealdb.data.cbor import decode, encode
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

USER, PASSWORD = "batchwright", "correct horse"
# of the password, with the least work that Argon2 takes: SurrealDB's own makes each connection cost 15 ms
HASH = "$argon2id$v=19$m=8,t=1,p=1$YmF0Y2h3cmlnaHQtdGVzdA$pfxq4jVoP7OmZquSfRn6irMvUEjEJbhBW/8aJrLtj6Q"
FRAME = 16 * 1024 * 1024  # what a real server takes
BEFORE, AFTER, HANG, SWALLOW, CONFLICT = "before", "after", "hang", "swallow", "conflict"
MEETS = "Failed to commit transaction due to a read or write conflict. This transaction can be retried"

# given the method and the text of each query: on which side of the engine the connection is cut; HANG: no
# answer comes; SWALLOW: the answer says that it was done, and it was not; CONFLICT: the
# transaction met another one and was not done
Cutter = Callable[[str, str], str | None]


class Bridge:
    """`with Bridge() as bridge:` listens on `bridge.url` until the end; `away()` stops listening for a while."""

    def __init__(
        self,
        storage: str = "mem://",
        *,
        version: str = "surrealdb-2.3.10",
        tls: ssl.SSLContext | None = None,
        ordered: bool = True,
    ) -> None:
        self._storage, self._version, self._tls, self._port = storage, version, tls, 0
        self._turns = asyncio.Semaphore(1 if ordered else 1_000)
        self.cutter: Cutter = lambda method, text: None
        self.cuts = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="bridge")
        self._guests: set[ServerConnection] = set()
        self._answers: set[asyncio.Task[None]] = set()
        self._engine: Any = None
        self._server: Server | None = None

    @property
    def url(self) -> str:
        return f"{'wss' if self._tls else 'ws'}://127.0.0.1:{self._port}"

    @property
    def guests(self) -> int:
        """How many are connected."""
        return len(self._guests)

    def __enter__(self) -> Bridge:
        self._thread.start()
        self._do(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()

    @contextmanager
    def away(self) -> Iterator[None]:
        """Nobody listens, as while a server is started again; what is there now is cut off."""
        self._do(self._leave())
        yield
        self._do(self._listen())

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _start(self) -> None:
        os.environ["SURREAL_SYNC_DATA"] = "true"
        self._engine = AsyncEmbeddedDB(self._storage)
        await self._engine.connect()
        user = f"DEFINE USER {USER} ON ROOT PASSHASH '{HASH}' ROLES EDITOR"
        for method, params in (("use", ["batchwright", "journal"]), ("query", [user, {}])):
            await self._engine.execute(encode({"id": "0", "method": method, "params": params}))
        await self._listen()

    async def _listen(self) -> None:
        self._server = await serve(
            self._welcome, "127.0.0.1", self._port, ssl=self._tls, subprotocols=[Subprotocol("cbor")], max_size=FRAME
        )
        self._port = next(iter(self._server.sockets)).getsockname()[1]

    async def _leave(self) -> None:
        assert self._server is not None
        self._server.close(close_connections=False)
        for guest in list(self._guests):
            guest.transport.abort()
        await self._server.wait_closed()

    async def _end(self) -> None:
        await self._leave()
        await asyncio.gather(*self._answers)
        await self._engine.close()

    async def _welcome(self, guest: ServerConnection) -> None:
        """Requests of one connection are answered side by side, as a server does."""
        self._guests.add(guest)
        try:
            async for message in guest:
                task = asyncio.create_task(self._answer(guest, message))
                self._answers.add(task)
                task.add_done_callback(self._answers.discard)
        except ConnectionClosed:
            pass
        finally:
            self._guests.discard(guest)

    async def _answer(self, guest: ServerConnection, message: Any) -> None:
        request = decode(message)
        params = request.get("params") or []
        side = self.cutter(request["method"], params[0] if request["method"] == "query" else "")
        if side:
            self.cuts += 1
        if side == BEFORE:
            guest.transport.abort()
        if side in (BEFORE, HANG):
            return
        if side in (SWALLOW, CONFLICT):
            part = {"status": "OK", "result": []} if side == SWALLOW else {"status": "ERR", "result": MEETS}
            reply = encode({"id": request["id"], "result": [{**part, "time": "0ms"}]})
        elif request["method"] == "version":
            reply = encode({"id": request["id"], "result": self._version})
        else:
            try:
                async with self._turns:
                    reply = await self._engine.execute(message)
            except RuntimeError as error:  # the engine raises where a server answers with an error
                reply = encode({"id": request["id"], "error": {"code": -32000, "message": str(error)}})
        if side == AFTER:
            guest.transport.abort()
            return
        with suppress(ConnectionClosed):  # it may have been cut at another message
            await guest.send(reply)
