"""What services of one store share beside runs: access tokens and the audit trail, whose rows are chained by digest."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, runtime_checkable


class AuditRow(NamedTuple):
    """One row of the trail: a request, or the answer to the request with the id `answers`."""

    number: int
    id: str
    answers: str | None
    chain: bytes
    body: bytes


class AuditedRequest(NamedTuple):
    """A request, and its answer, None if there is none."""

    number: int
    body: bytes
    answer: bytes | None


@runtime_checkable
class SharesRecords(Protocol):
    """A store in which services keep their tokens and their audit trail."""

    async def tokens(self) -> list[bytes]:
        """All of them."""
        ...

    async def change_tokens(self, change: Callable[[list[bytes]], dict[str, bytes]]) -> None:
        """Save what `change` gives by its ids, alone; it gets all tokens, and nothing is saved if it raises."""
        ...

    async def append_audit(self, entry: str, body: bytes, answers: str | None = None) -> None:
        """Add a row with this id, durable on return; one that is there already is not added again."""
        ...

    async def audit_page(self, before: int, most: int) -> list[AuditedRequest]:
        """The requests before a number, the newest first."""
        ...

    async def audit_problems(self) -> list[str]:
        """What is wrong with the chain, nothing if all is well."""
        ...


def link(before: bytes, number: int, entry: str, answers: str | None, body: bytes) -> bytes:
    """The digest of a row, which covers all rows before it."""
    digest = hashlib.sha256(before)
    digest.update(struct.pack(">Q", number))
    for part in (entry.encode(), (answers or "").encode(), body):
        digest.update(struct.pack(">Q", len(part)) + part)
    return digest.digest()


def problem_of(before: AuditRow | None, row: AuditRow) -> str:
    """What is wrong with a row after the one before it; empty if nothing is."""
    number, chain = (before.number, before.chain) if before is not None else (0, b"")
    if row.number != number + 1:
        return f"the audit trail lacks its rows {number + 1} to {row.number - 1}"
    if row.chain != link(chain, row.number, row.id, row.answers, row.body):
        return f"row {row.number} of the audit trail is not the one that was written"
    return ""


def end_problem(last: AuditRow | None, head: Sequence[object]) -> str:
    """What is wrong with the end of the trail, compared with what was noted as its end."""
    found = (last.number, last.chain) if last is not None else (0, b"")
    return "" if found == (head[0], head[1]) else f"the audit trail ends at row {found[0]}, not at row {head[0]}"
