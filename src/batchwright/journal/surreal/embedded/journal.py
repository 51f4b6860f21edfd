"""The Journal port over an embedded SurrealDB: this process holds the folder, or is a peer of the one that does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from batchwright.errors import StoreHeld
from batchwright.journal import refusals
from batchwright.journal.base import Lease
from batchwright.journal.lease_holder import process_of
from batchwright.journal.store_folder import make_private
from batchwright.journal.surreal.database import HolderGone
from batchwright.journal.surreal.embedded import lock
from batchwright.journal.surreal.embedded.owner import FolderOwner
from batchwright.journal.surreal.embedded.peer import FolderPeer
from batchwright.journal.surreal.journal_base import SurrealJournalBase
from batchwright.journal.surreal.writer import SurrealRepository

TRIES = 200  # attempts to find the holder, PAUSE seconds apart: during a handover no process answers
PAUSE = 0.025
COURTESY = 0.2  # seconds before a process that handed the folder over may ask for it again

T = TypeVar("T")


class SurrealJournal(SurrealJournalBase):
    """One process at a time has the engine. Others read and signal through it, or take over if it drives no run."""

    name = "surrealdb"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._is_open = False
        self._behind = False
        self._role: FolderOwner | FolderPeer | None = None
        self._changing = asyncio.Lock()
        self._leaving: asyncio.Task[None] | None = None
        self._driven: dict[str, int] = {}  # the runs this process drives, with the fence of each lease
        self._writes = 0  # writes under way

    async def open(self, *, behind: bool = False) -> None:
        """Prepare the store; creates an empty one, or connects to the process that holds it."""
        self._is_open, self._behind = True, behind
        try:
            await self._find_role()
        except BaseException:
            self._is_open = False
            raise

    async def aclose(self) -> None:
        """Finish the writes that have begun, then close."""
        self._is_open = False
        if self._leaving is not None:
            await asyncio.wait([self._leaving])
        await self._forget(self._role)
        self._driven.clear()

    # --- the holder of the folder ---

    async def _read(self, work: Callable[[SurrealRepository | FolderPeer], Awaitable[T]]) -> T:
        """What the holder and its peers can do alike."""
        for _ in range(TRIES):
            role = await self._find_role()
            try:
                return await work(role.store if isinstance(role, FolderOwner) else role)
            except HolderGone:
                await self._forget(role)
        raise self._held(None)

    async def _write(self, work: Callable[[SurrealRepository], Awaitable[T]]) -> T:
        """What only the holder can do; a peer asks for the folder first."""
        self._writes += 1
        try:
            for _ in range(TRIES):
                role = await self._find_role()
                try:
                    if isinstance(role, FolderOwner):
                        return await work(role.store)
                    if not await role.ask_for_the_folder():
                        raise self._held(role.owner)
                except HolderGone:
                    pass
                await self._forget(role)
        finally:
            self._writes -= 1
        raise self._held(None)

    async def _find_role(self) -> FolderOwner | FolderPeer:
        async with self._changing:
            if not self._is_open:
                raise refusals.closed(self._folder)
            if self._role is None:
                self._role = await self._look()
            return self._role

    async def _look(self) -> FolderOwner | FolderPeer:
        """Take the folder if no process has it, else connect to the one that does."""
        make_private(self._folder)
        owner = None
        for _ in range(TRIES):
            ours = lock.take(self._folder)
            if ours is not None:
                holder = FolderOwner(self._folder, ours, self._hand_over)
                await holder.open(behind=self._behind)
                return holder
            owner = lock.lock_owner(self._folder)
            if owner is not None and owner.socket:
                try:
                    return await FolderPeer.visit(owner)
                except HolderGone:
                    pass  # it has just left, or was killed: the lock says which
            await asyncio.sleep(PAUSE)
        raise self._held(owner)

    async def _forget(self, role: FolderOwner | FolderPeer | None) -> None:
        async with self._changing:
            if role is not None and self._role is role:
                self._role = None
                await role.aclose()

    def _hand_over(self) -> bool:
        """A peer asks for the folder: it may have it when nothing is driven from here."""
        if self._driven or self._writes or self._leaving is not None:
            return False
        self._leaving = asyncio.create_task(self._step_down())
        return True

    async def _step_down(self) -> None:
        async with self._changing:
            role, self._role = self._role, None
            if role is not None:
                await role.aclose()
            if self._is_open:
                await asyncio.sleep(COURTESY)
            self._leaving = None

    def _held(self, owner: lock.LockOwner | None) -> StoreHeld:
        who = process_of(owner.holder) if owner is not None else "another process"
        return StoreHeld(
            f"{who} has the store {self._folder} open, and only one process can write to it",
            hint='Wait until it has ended, or use storage_backend = "filesystem", which allows several writers.',
        )

    def _taken(self, lease: Lease) -> None:
        self._driven[lease.run] = lease.fence

    def _given_up(self, lease: Lease) -> None:
        if self._driven.get(lease.run) == lease.fence:
            del self._driven[lease.run]
