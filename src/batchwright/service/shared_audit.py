"""The audit trail that all services of a PostgreSQL store share: see `service.audit` and `journal.shared_records`."""

from __future__ import annotations

import asyncio
import platform
import secrets
from collections.abc import Awaitable, Callable

import msgspec
from msgspec.structs import replace

from batchwright.app.multi_store import Stores
from batchwright.app.settings import Settings
from batchwright.app.shared_tokens import records_of
from batchwright.errors import AuditUnreadable, StoreError
from batchwright.journal.shared_records import AuditedRequest, SharesRecords
from batchwright.service.audit import AuditEntry
from batchwright.service.audit_pages import AuditPage, AuditQuery, audit_page, fits

PIECE = 500  # requests that are read at a time
SEARCHED_MOST = 20_000  # by one request
END = 2**62

_encode = msgspec.json.encode


class SharedAuditLine:
    """A row whose result is still to be added."""

    def __init__(self, records: SharesRecords, entry: str, deed: AuditEntry) -> None:
        self.deed = deed
        self._records, self._entry = records, entry

    async def end_aside(self, run: str, status: int, code: str) -> None:
        """Add the result. Raises StoreError, and then the request stays without one."""
        body = _encode(replace(self.deed, run=run, status=status, code=code))
        await self._records.append_audit(secrets.token_hex(12), body, self._entry)


class SharedAudit:
    """Adds rows, each durable before anything is done."""

    def __init__(self, records: Callable[[], Awaitable[SharesRecords]]) -> None:
        self._records = records
        self._name = platform.node()

    async def begin_aside(self, deed: AuditEntry) -> SharedAuditLine:
        """Add the row of something that is about to be done. Raises StoreError."""
        records, entry = await self._records(), secrets.token_hex(12)
        deed = replace(deed, service=self._name)
        await records.append_audit(entry, _encode(deed))
        return SharedAuditLine(records, entry, deed)


async def any_audit_page(settings: Settings, stores: Stores, query: AuditQuery) -> AuditPage:
    """A page of the trail that counts: that of the store, or of the state folder. Raises AuditUnreadable."""
    if settings.postgres is None:
        return await asyncio.to_thread(audit_page, settings, query)
    found: list[AuditEntry] = []
    unreadable, searched, before = 0, 0, END if query.before is None else query.before
    try:
        records = await records_of(stores)
        while rows := await records.audit_page(before, PIECE):
            for row in rows:
                if len(found) == query.limit or searched > SEARCHED_MOST:
                    return AuditPage(tuple(found), before, unreadable)
                before, searched = row.number, searched + 1
                try:
                    entry = _entry(row)
                except msgspec.MsgspecError:
                    unreadable += 1
                    continue
                if fits(entry, query):
                    found.append(entry)
    except StoreError as error:
        raise AuditUnreadable(f"the audit trail cannot be read: {error.message}") from error
    return AuditPage(tuple(found), None, unreadable)


def _entry(row: AuditedRequest) -> AuditEntry:
    return msgspec.json.decode(row.answer or row.body, type=AuditEntry)
