"""A process that found the folder held: it queries the holder over its socket."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from batchwright.errors import StoreHeld, StoreUnavailable
from batchwright.journal.base import Head, Snapshot
from batchwright.journal.event_rows import EventRow
from batchwright.journal.high_water_mark import Loss
from batchwright.journal.lease_holder import HeldLease, process_of
from batchwright.journal.surreal.database import HolderGone
from batchwright.journal.surreal.embedded import protocol
from batchwright.journal.surreal.embedded.lock import LockOwner
from batchwright.model.delivery import Delivery
from batchwright.model.environment import Environment, EnvironmentKey, Resource
from batchwright.model.run_signal import Signal
from batchwright.model.run_summary import RunSummary

ANSWER_SECONDS = 30.0  # seconds to wait for a busy holder before an error


class FolderPeer:
    """One connection; requests go one after another. Every call raises HolderGone when the holder has left."""

    def __init__(self, owner: LockOwner, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.owner = owner
        self._reader = reader
        self._writer = writer
        self._turn = asyncio.Lock()

    @classmethod
    async def visit(cls, owner: LockOwner) -> FolderPeer:
        """Connect to the holder. Raises HolderGone, StoreHeld if the two cannot talk."""
        if owner.wire != protocol.WIRE:
            raise StoreHeld(
                f"{process_of(owner.holder)} has the store open and is another version of Batchwright",
                hint="Wait until it has ended.",
            )
        try:
            reader, writer = await asyncio.open_unix_connection(owner.socket)
        except OSError as error:
            raise HolderGone from error
        return cls(owner, reader, writer)

    async def aclose(self) -> None:
        """Close the connection to the process that holds the folder."""
        self._writer.close()

    async def pages(self, run: str, after: int, limit: int) -> list[EventRow]:
        """Pages that hold up to `limit` events after `after`, or fewer."""
        answer: list[EventRow] = await self._ask(protocol.PagesRequest(run, after, limit), list[EventRow])
        return answer

    async def head(self, run: str) -> Head:
        """The number of the last event of a run and the digest of all events."""
        answer: Head = await self._ask(protocol.HeadRequest(run), Head)
        return answer

    async def runs(self) -> list[str]:
        """The ids of all runs."""
        answer: list[str] = await self._ask(protocol.RunIdsRequest(), list[str])
        return answer

    async def losses(self) -> list[Loss]:
        """All runs compared with the mark."""
        answer: list[Loss] = await self._ask(protocol.LossesRequest(), list[Loss])
        return answer

    async def summaries(self) -> list[RunSummary]:
        """The summaries of all runs, newest first."""
        answer: list[RunSummary] = await self._ask(protocol.SummariesRequest(), list[RunSummary])
        return answer

    async def newest_runs(self) -> list[RunSummary]:
        """Of each environment, and those without a turn."""
        answer: list[RunSummary] = await self._ask(protocol.NewestRunsRequest(), list[RunSummary])
        return answer

    async def summary(self, run: str) -> RunSummary:
        """The summary of one run, None if there is no such run."""
        answer: RunSummary = await self._ask(protocol.SummaryRequest(run), RunSummary)
        return answer

    async def snapshot(self, run: str) -> Snapshot | None:
        """The newest snapshot of a run, None if it has none."""
        answer: Snapshot | None = await self._ask(protocol.SnapshotRequest(run), Snapshot | None)
        return answer

    async def environment(self, key: EnvironmentKey) -> Environment | None:
        """Whose turn it is."""
        answer: Environment | None = await self._ask(protocol.EnvironmentRequest(key), Environment | None)
        return answer

    async def environments(self) -> list[Environment]:
        """Of all environments."""
        answer: list[Environment] = await self._ask(protocol.EnvironmentsRequest(), list[Environment])
        return answer

    async def resources(self, key: EnvironmentKey) -> list[Resource]:
        """What an environment has."""
        answer: list[Resource] = await self._ask(protocol.ResourcesRequest(key), list[Resource])
        return answer

    async def all_resources(self) -> list[tuple[EnvironmentKey, Resource]]:
        """What all environments have."""
        answer: list[tuple[EnvironmentKey, Resource]] = await self._ask(
            protocol.AllResourcesRequest(), list[tuple[EnvironmentKey, Resource]]
        )
        return answer

    async def deliveries(self, run: str = "") -> list[Delivery]:
        """What webhooks have had."""
        answer: list[Delivery] = await self._ask(protocol.DeliveriesRequest(run), list[Delivery])
        return answer

    async def pending_deliveries(self) -> list[Delivery]:
        """Those that are open."""
        answer: list[Delivery] = await self._ask(protocol.PendingDeliveriesRequest(), list[Delivery])
        return answer

    async def base_resources(self, key: EnvironmentKey) -> list[Resource]:
        """What an environment had at its base."""
        answer: list[Resource] = await self._ask(protocol.BaseResourcesRequest(key), list[Resource])
        return answer

    async def held(self, run: str) -> HeldLease | None:
        """The lease of a run, None if no process holds it."""
        answer: HeldLease | None = await self._ask(protocol.LeaseRequest(run), HeldLease | None)
        return answer

    async def signal(self, run: str, signal: Signal) -> None:
        """Leave a signal for a run's driver."""
        await self._ask(protocol.SignalRequest(run, signal), None)

    async def signals(self, run: str, after: int) -> list[tuple[int, Signal]]:
        """A run's signals with a number above `after`."""
        answer: list[tuple[int, Signal]] = await self._ask(
            protocol.SignalsRequest(run, after), list[tuple[int, Signal]]
        )
        return answer

    async def ask_for_the_folder(self) -> bool:
        """Ask the holder to release the folder; gives whether it does, which it may only if it drives no run."""
        answer: bool = await self._ask(protocol.HandOverRequest(), bool)
        return answer

    async def _ask(self, request: protocol.WireRequest, kind: Any) -> Any:
        async with self._turn:
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    await protocol.send_request(self._writer, request)
                    return await protocol.receive_reply(self._reader, kind)
            except TimeoutError as error:
                self._writer.close()  # a late answer must not be taken for the next one's
                raise StoreHeld(
                    f"{process_of(self.owner.holder)} holds the store and gave no answer in {ANSWER_SECONDS:.0f} s",
                    hint="Check that process; if it hangs, end it and try again.",
                ) from error
            except (OSError, EOFError, msgspec.MsgspecError) as error:
                self._writer.close()
                raise HolderGone from error
            except protocol.TooLarge as error:
                self._writer.close()
                raise StoreUnavailable(f"{error}, from {process_of(self.owner.holder)}") from error
            except asyncio.CancelledError:
                self._writer.close()
                raise
