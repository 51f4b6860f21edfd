"""The process that holds the folder answers others over a private socket: they may read and send signals."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from batchwright.errors import StoreError, StoreUnavailable
from batchwright.journal.high_water_mark import HighWaterMark
from batchwright.journal.surreal.database import HolderGone
from batchwright.journal.surreal.embedded import protocol
from batchwright.journal.surreal.embedded.engine import Engine
from batchwright.journal.surreal.embedded.lock import Lock
from batchwright.journal.surreal.writer import SurrealRepository

_LONGEST_PATH = 100  # of a socket; the kernel takes 107 bytes
MAX_PEERS = 64


class FolderOwner:
    """The open engine, the lock on its folder, and the socket for others; all three or none."""

    def __init__(self, place: Path, lock: Lock, hand_over: Callable[[], bool]) -> None:
        mark = surreal_mark(place)
        self.store = SurrealRepository(Engine(place / "database", mark), mark)
        self._lock = lock
        self._hand_over = hand_over
        self._server: asyncio.Server | None = None
        self._peers: set[asyncio.Task[None]] = set()
        self._socket: Path | None = None

    async def open(self, *, behind: bool = False) -> None:
        """Open the engine and listen. Raises StoreError after closing everything again."""
        try:
            await self.store.open(behind=behind)
            self._socket = private_folder() / "store"
            self._server = await asyncio.start_unix_server(self._welcome, self._socket)
            self._lock.tell(str(self._socket), protocol.WIRE)
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Disconnect all peers, finish what has begun, and release the folder."""
        if self._server is not None:
            self._server.close()
            for peer in self._peers:
                peer.cancel()
            await asyncio.gather(*self._peers, return_exceptions=True)
        if self._socket is not None:
            shutil.rmtree(self._socket.parent, ignore_errors=True)
        await self.store.aclose()
        self._lock.release()

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._peers.add(task)
        try:
            if len(self._peers) > MAX_PEERS:
                await protocol.send_refusal(writer, StoreUnavailable(f"{MAX_PEERS} processes already read the store"))
            else:
                await self._serve(reader, writer)
        except (OSError, EOFError, msgspec.MsgspecError, protocol.TooLarge, HolderGone):
            pass  # the peer has left or speaks something else, or we are leaving: the connection ends
        except asyncio.CancelledError:
            pass  # aclose; a handler that ends as cancelled would be reported as an error by the stream
        finally:
            self._peers.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await protocol.receive_request(reader)
            try:
                result = await self._answer(request)
            except StoreError as error:
                await protocol.send_refusal(writer, error)
            else:
                await protocol.send_result(writer, result)

    def _answer(self, request: protocol.WireRequest) -> Awaitable[Any]:
        store = self.store
        match request:
            case protocol.PagesRequest(run, after, limit):
                return store.pages(run, after, limit)
            case protocol.HeadRequest(run):
                return store.head(run)
            case protocol.RunIdsRequest():
                return store.runs()
            case protocol.LossesRequest():
                return store.losses()
            case protocol.SummariesRequest():
                return store.summaries()
            case protocol.NewestRunsRequest():
                return store.newest_runs()
            case protocol.SummaryRequest(run):
                return store.summary(run)
            case protocol.SnapshotRequest(run):
                return store.snapshot(run)
            case protocol.EnvironmentRequest(key):
                return store.environment(key)
            case protocol.EnvironmentsRequest():
                return store.environments()
            case protocol.ResourcesRequest(key):
                return store.resources(key)
            case protocol.AllResourcesRequest():
                return store.all_resources()
            case protocol.DeliveriesRequest(run):
                return store.deliveries(run)
            case protocol.PendingDeliveriesRequest():
                return store.pending_deliveries()
            case protocol.BaseResourcesRequest(key):
                return store.base_resources(key)
            case protocol.LeaseRequest(run):
                return store.held(run)
            case protocol.SignalRequest(run, signal):
                return store.signal(run, signal)
            case protocol.SignalsRequest(run, after):
                return store.signals(run, after)
            case protocol.HandOverRequest():
                return self._consider()

    async def _consider(self) -> bool:
        return self._hand_over()


def surreal_mark(place: Path) -> HighWaterMark:
    """The mark of acknowledged events for the store in this folder."""
    return HighWaterMark(place / "journal.mark")


def private_folder() -> Path:
    """A new folder that only this user may enter, with a path short enough for a socket."""
    refused: list[str] = []
    for base in (os.environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir(), "/tmp"):  # noqa: S108 - mkdtemp is private
        if base and len(os.fsencode(base)) + len("/batchwright-12345678/store") <= _LONGEST_PATH:
            with contextlib.suppress(OSError):
                return Path(tempfile.mkdtemp(prefix="batchwright-", dir=base))
            refused.append(base)
    raise StoreUnavailable(
        f"no temporary folder for a socket could be made in {', '.join(refused) or 'any place'}",
        hint="Set TMPDIR to a writable folder with a short path.",
    )
