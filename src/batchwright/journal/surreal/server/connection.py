"""A SurrealDB server over a WebSocket: connects, signs in, and connects again when the connection is lost.

A request that may be sent twice is sent again. For any other, the repository learns that the answer was lost, and
reads.
"""

from __future__ import annotations

import asyncio
import random
import re
import secrets
import ssl
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from batchwright.errors import (
    StoreDenied,
    StoreError,
    StoreFull,
    StorePackageMissing,
    StoreTooLarge,
    StoreUnavailable,
    StoreUnreachable,
    StoreUnsupported,
)
from batchwright.journal.surreal.database import SURREALQL, AnswerLost, Examine, HolderGone, QueryFailed, result_of
from batchwright.redaction import masked

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 30.0  # longest wait for one answer; then the connection counts as lost
RECONNECT_SECONDS = 30.0  # how long a lost server is looked for
PAUSES = (0.05, 2.0)  # between two attempts, from the first to the longest
CONFLICTS = 100  # of a transaction with others before it is an error instead of repeated
PROBERS, PROBES = 8, 8  # how many count one number up at the same time, and how far each
MAX_MESSAGE = 15 * 1024 * 1024  # a server takes 16 MiB in one frame (SURREAL_WEBSOCKET_MAX_FRAME_SIZE)

# the others may be sent again
ONCE = {"append", "create_run", "write_environment", "write_delivery", "take_lease", "probe"}

_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")
_DENIED = ("not enough permissions", "not allowed", "iam error", "anonymous access", "authentication")
_EXPIRED = "session has expired"
_SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}


class ServerAddress(Struct, frozen=True):
    """The address of a server and how to sign in. The password is read when it is used and not kept."""

    url: str
    namespace: str = "batchwright"
    database: str = "journal"
    user: str = ""
    password: Callable[[], str] | None = None
    level: str = "root"  # what the user is a user of: root, namespace or database

    def __str__(self) -> str:
        return f"{self.address} ({self.namespace}/{self.database})"

    @property
    def address(self) -> str:
        """The URL of the WebSocket, without the path; a server answers both HTTP and WebSocket on one port."""
        parts = urlsplit(self.url)
        return (
            f"{_SCHEMES[parts.scheme]}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/').removesuffix('/rpc')}"
        )

    def check(self) -> None:
        """Raise StoreUnavailable if the URL is not valid."""
        parts = urlsplit(self.url)
        if parts.scheme not in _SCHEMES or not parts.hostname:
            raise StoreUnavailable(
                f"{masked(self.url)!r} is not the address of a SurrealDB server",
                hint="Write it as, for example, wss://db.example.org:8000",
            )
        if "@" in parts.netloc:
            raise StoreUnavailable(
                "the address of the SurrealDB server contains a user or a password",
                hint="Name the user in BATCHWRIGHT_SURREALDB_USER and where the password is in "
                "BATCHWRIGHT_SURREALDB_PASSWORD_FILE.",
            )


class _Lost(Exception):
    """The connection broke."""


class ServerDatabase:
    """One connection at a time, made when it is needed."""

    def __init__(self, server: ServerAddress) -> None:
        self._server = server
        self._connection: Any = None
        self._connecting: asyncio.Task[Any] | None = None
        self._asked: set[asyncio.Task[Any]] = set()
        self._closing: set[asyncio.Task[Any]] = set()
        self._closed = True

    @property
    def place(self) -> ServerAddress:
        """The server's address, for messages."""
        return self._server

    async def open(self, examine: Examine | None = None, *, look_only: bool = False) -> None:  # noqa: ARG002 - a server mends its data by itself
        """Connect and sign in, in one attempt. Raises StoreUnreachable, StoreDenied, StoreUnsupported."""
        self._server.check()
        self._closed = False
        self._connection = await self._connect()
        try:
            if examine is not None:
                await examine(self.query)
        except BaseException:
            await self.aclose()
            raise

    def keep_repair(self) -> None:
        """Does nothing: a server repairs its data by itself."""

    async def aclose(self) -> None:
        """Disconnect; every acknowledged write is durable as the server promises."""
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait([self._connecting])
        await self._drop(self._connection)
        if self._closing:
            await asyncio.wait(self._closing)

    async def prove(self) -> None:
        """Raise StoreUnsupported if concurrent writers lose changes without an error.

        Measured with SurrealDB 2.3: on surrealkv storage up to 4 of 10 increments of one number were acknowledged and
        lost; in memory, and by their design on rocksdb and tikv, none.
        """
        name, counted = secrets.token_hex(8), [0, 0]

        async def add() -> None:
            for _ in range(PROBES):
                try:
                    await self.query("probe", id=name)
                    counted[0] += 1
                except AnswerLost:
                    counted[1] += 1

        await asyncio.gather(*(add() for _ in range(PROBERS)))
        found = await self.query("probe_total", id=name)
        await self.query("end_probe", id=name)
        known, unknown = counted
        if not known <= (found[0] if found else 0) <= known + unknown:
            raise StoreUnsupported(
                f"{self.place} loses changes when several clients write at the same moment",
                hint="Make the server store its data in rocksdb or tikv, not surrealkv. Nothing was recorded.",
            )

    def need_space(self, size: int) -> None:
        """Raise StoreTooLarge for more than a server accepts in one message."""
        if size > MAX_MESSAGE:
            raise StoreTooLarge(
                f"{self.place} takes {MAX_MESSAGE // 2**20} MiB at a time, and this is {size / 2**20:.0f} MiB",
            )

    async def query(self, name: str, **values: Any) -> list[Any]:
        """The result of the query's last statement. Raises QueryRefused, or AnswerLost if it may not be repeated."""
        conflicts, until = 0, asyncio.get_running_loop().time() + RECONNECT_SECONDS
        while True:
            connection = await self._ready()
            try:
                return result_of(await self._ask(connection, SURREALQL[name], values))
            except _Lost as lost:
                await self._drop(connection)
                if name in ONCE:
                    raise AnswerLost from lost
                if asyncio.get_running_loop().time() > until:
                    raise self._unreachable(str(lost)) from lost
            except QueryFailed as failed:
                conflicts += 1
                if "can be retried" not in str(failed) or conflicts > CONFLICTS:
                    raise self._explained(str(failed)) from None
                await asyncio.sleep(random.uniform(0, PAUSES[0]))  # one of those that met goes first

    async def _ask(self, connection: Any, text: str, values: dict[str, Any]) -> Any:
        """Raises _Lost. In a task of its own: the SDK does not survive a caller that stops waiting for an answer."""
        if connection.recv_task is None or connection.recv_task.done():
            raise _Lost("the connection was closed")
        task = asyncio.ensure_future(connection.query_raw(text, values))
        self._asked.add(task)
        task.add_done_callback(self._answered)
        await asyncio.wait([task], timeout=ANSWER_SECONDS)
        if not task.done():
            raise _Lost(f"no answer for {ANSWER_SECONDS:.0f} s")
        if task.cancelled():
            raise _Lost("the connection was closed before the answer")
        error = task.exception()
        if error is not None:
            raise _Lost(f"{type(error).__name__}: {error}") from error
        reply = task.result()
        if _EXPIRED in str(reply.get("error", "")).lower():
            raise _Lost("the session has expired")
        return reply

    def _answered(self, task: asyncio.Task[Any]) -> None:
        self._asked.discard(task)
        if not task.cancelled():
            task.exception()  # the caller may have stopped waiting

    async def _ready(self) -> Any:
        if self._closed:
            raise HolderGone
        if self._connection is not None:
            return self._connection
        task = self._connecting = self._connecting or asyncio.create_task(self._connect_again())
        await asyncio.wait([task])
        if task.cancelled():
            raise HolderGone
        return task.result()

    async def _connect_again(self) -> Any:
        until, pause = asyncio.get_running_loop().time() + RECONNECT_SECONDS, PAUSES[0]
        try:
            while True:
                try:
                    self._connection = await self._connect()
                except StoreUnreachable:
                    if asyncio.get_running_loop().time() > until:
                        raise
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, PAUSES[1])
                else:
                    return self._connection
        finally:
            self._connecting = None

    async def _drop(self, connection: Any) -> None:
        if self._connection is connection:
            self._connection = None
        if connection is not None:
            await self._close(connection)

    async def _close(self, connection: Any) -> None:
        """Close it for good, in a task of its own: a caller that is cancelled meanwhile leaves it half closed."""
        connection.connect = _refuse
        task = asyncio.ensure_future(connection.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        await asyncio.wait([task])

    async def _connect(self) -> Any:
        try:
            from surrealdb import AsyncWsSurrealConnection
            from surrealdb.errors import SurrealError
            from websockets.exceptions import WebSocketException
        except ImportError as error:
            raise StorePackageMissing(
                'storage_backend "surrealdb" needs a package that is not installed',
                hint="pip install 'batchwright[surrealdb]'",
            ) from error
        connection = AsyncWsSurrealConnection(self._server.address)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await connection.connect()
                await self._sign_in(connection)
        except BaseException as error:
            await self._close(connection)
            if isinstance(error, SurrealError):
                raise self._explained(str(error)) from error
            if isinstance(error, OSError | EOFError | WebSocketException | KeyError):
                # the SDK drops its waiters when the connection is closed, and then raises this
                text = "the connection was closed" if isinstance(error, KeyError) else str(error)
                raise self._unreachable(text or type(error).__name__, error) from error
            raise
        return connection

    async def _sign_in(self, connection: Any) -> None:
        server = self._server
        if server.user:
            who = {"username": server.user, "password": ""}
            if server.password is not None:
                who["password"] = await asyncio.to_thread(server.password)
            if server.level in ("namespace", "database"):
                who["namespace"] = server.namespace
            if server.level == "database":
                who["database"] = server.database
            await connection.signin(who)
        _judge(await connection.version(), server)
        await connection.use(server.namespace, server.database)

    def _explained(self, text: str) -> StoreError:
        if any(word in text.lower() for word in _DENIED):
            user = f"the user {self._server.user!r}" if self._server.user else "an anonymous user"
            return StoreDenied(f"{self.place} rejects {user} or this operation: {text}")
        if "no space left" in text.lower():
            return StoreFull(f"the disk of {self.place} is full")
        return StoreUnavailable(f"{self.place} cannot be used: {text}")

    def _unreachable(self, text: str, error: BaseException | None = None) -> StoreUnreachable:
        if isinstance(error, ssl.SSLError):
            return StoreUnreachable(
                f"{self.place} has no trusted certificate or does not use TLS: {text}",
                hint="Set SSL_CERT_FILE to the certificate of your own authority; for a server without TLS write ws://.",
            )
        return StoreUnreachable(
            f"{self.place} cannot be reached: {text}",
            hint="Check that it is running and that BATCHWRIGHT_SURREALDB_URL or config.toml names it correctly.",
        )


async def _refuse() -> None:
    """In place of the SDK's `connect`, which opens a closed connection again for a request, without signing in."""
    raise ConnectionError("the connection was closed")


def _judge(version: str, server: ServerAddress) -> None:
    found = _VERSION.search(version)
    if found is None or found[1] != "2":
        raise StoreUnsupported(f"{server} is {version}; this Batchwright needs SurrealDB 2")
