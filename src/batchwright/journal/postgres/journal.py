"""The Journal port over a PostgreSQL database, which any number of processes on any machine may use."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from batchwright.journal.base import AccountClaim, UnusedSpace
from batchwright.journal.high_water_mark import HighWaterMark
from batchwright.journal.postgres import shared_records
from batchwright.journal.postgres.account_claims import claim_share
from batchwright.journal.postgres.address import PostgresAddress
from batchwright.journal.postgres.connect import PostgresConnection, connect, open_store
from batchwright.journal.postgres.notifications import Notifications
from batchwright.journal.postgres.transactions import PostgresReader, PostgresTransactions
from batchwright.journal.shared_records import AuditedRequest
from batchwright.journal.sql.connection import SqlConnection
from batchwright.journal.sql.group_writer import GroupWriter
from batchwright.journal.sql.journal_base import SqlJournalBase
from batchwright.journal.store_folder import alone, make_private

T = TypeVar("T")


class PostgresJournal(SqlJournalBase):
    """Each run has one driver at a time, by its lease."""

    name = "postgres"

    def __init__(self, address: PostgresAddress, marks: Path) -> None:
        """`marks` is a folder of this machine for the mark of what was acknowledged to it."""
        known_by = hashlib.sha256(str(address).encode()).hexdigest()[:12]
        super().__init__(address, HighWaterMark(marks / f"{self.name}-{known_by}.mark"))
        self._address = address
        self._notifications: Notifications | None = None

    async def open(self, *, behind: bool = False) -> None:
        """Connect; makes the store if the database has none."""
        if self._writer is not None:
            return
        self._address.check()
        first = await asyncio.to_thread(self._first, behind)
        reader = PostgresReader(lambda: self._connect(behind), self._address)
        reader.keep(first)
        writer = GroupWriter(PostgresTransactions(lambda: self._connect(behind), self._address), self._mark)
        await writer.start()
        self._writer, self._reader = writer, reader
        self._notifications = Notifications(self._address, reader)

    def _first(self, behind: bool) -> PostgresConnection:
        make_private(self._mark.path.parent)
        with alone(self._mark.path.parent):
            if not self._mark.exists():
                self._mark.make()
        return open_store(self._address, self._mark, behind)

    def _connect(self, behind: bool) -> PostgresConnection:
        return connect(self._address, None if behind else self._mark)

    async def aclose(self) -> None:
        """Finish the writes that have begun, then disconnect."""
        notifications, self._notifications = self._notifications, None
        if notifications is not None:
            await notifications.aclose()
        await super().aclose()

    async def compact(self) -> UnusedSpace:
        """The server's autovacuum does this by itself."""
        return UnusedSpace()

    def watch(self, run: str, hint: Callable[[], None]) -> Callable[[], None]:
        """Call `hint` when a run may have changed; see `journal.base.Watchable`."""
        assert self._notifications is not None
        return self._notifications.watch(run, hint)

    async def claim(self, claim: AccountClaim) -> int:
        """A share of an account; see `journal.base.SharesAccounts`."""
        return await self._read(lambda connection: claim_share(connection, claim))

    async def tokens(self) -> list[bytes]:
        """All access tokens; for this and the next see `journal.shared_records.SharesRecords`."""
        return await self._read(shared_records.tokens)

    async def change_tokens(self, change: Callable[[list[bytes]], dict[str, bytes]]) -> None:
        """Save tokens."""
        await self._read(lambda db: shared_records.change_tokens(db, change))

    async def append_audit(self, entry: str, body: bytes, answers: str | None = None) -> None:
        """Add a row to the audit trail."""
        await self._read(lambda db: shared_records.append_audit(db, entry, body, answers))

    async def audit_page(self, before: int, most: int) -> list[AuditedRequest]:
        """Requests of the audit trail."""
        return await self._read(lambda db: shared_records.audit_page(db, before, most))

    async def audit_problems(self) -> list[str]:
        """What is wrong with the audit trail."""
        return await self._read(shared_records.audit_problems)

    async def _write(self, work: Callable[[SqlConnection], T], run: str = "") -> T:
        result = await super()._write(work, run)
        if run and self._notifications is not None:
            self._notifications.announce(run)
        return result
