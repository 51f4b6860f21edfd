"""Tokens and the audit trail in the database: see `journal.shared_records`."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from batchwright.journal.postgres.connect import PostgresConnection
from batchwright.journal.shared_records import AuditedRequest, AuditRow, end_problem, link, problem_of
from batchwright.journal.sql.connection import SqlConnection

PIECE = 1_000  # rows that are read at a time


def tokens(db: SqlConnection) -> list[bytes]:
    """All tokens."""
    return [bytes(body) for (body,) in db.rows("access_tokens")]


def change_tokens(db: SqlConnection, change: Callable[[list[bytes]], dict[str, bytes]]) -> None:
    """Save what `change` makes of all tokens; others that change them wait."""
    with cast(PostgresConnection, db).raw.transaction():
        db.execute("lock_access_tokens")
        for name, body in change(tokens(db)).items():
            db.execute("save_access_token", {"id": name, "body": body})


def append_audit(db: SqlConnection, entry: str, body: bytes, answers: str | None) -> None:
    """Add a row, one process after the other. It may be there, if the answer to its COMMIT was lost."""
    with cast(PostgresConnection, db).raw.transaction():
        [[number, chain]] = db.rows("lock_audit")
        if db.row("audit_of_id", {"id": entry}) is not None:
            return
        head = {"number": number + 1, "chain": link(bytes(chain), number + 1, entry, answers, body)}
        db.execute("add_audit", {**head, "id": entry, "answers": answers, "body": body})
        db.execute("save_audit_head", head)


def audit_page(db: SqlConnection, before: int, most: int) -> list[AuditedRequest]:
    """Requests before a number, the newest first."""
    rows = db.rows("audit_page", {"before": before, "most": most})
    return [AuditedRequest(number, bytes(body), answer and bytes(answer)) for number, body, answer in rows]


def audit_problems(db: SqlConnection) -> list[str]:
    """The first break of the chain, and its end."""
    head = db.rows("audit_head")[0]  # before the rows, as more are added meanwhile
    last: AuditRow | None = None
    while found := db.rows("audit_rows", {"after": last.number if last else 0, "most": PIECE}):
        for number, name, answers, chain, body in found:
            if number > head[0]:
                break
            row = AuditRow(number, name, answers, bytes(chain), bytes(body))
            if problem := problem_of(last, row):
                return [problem]
            last = row
        if found[-1][0] >= head[0]:
            break
    problem = end_problem(last, (head[0], bytes(head[1])))
    return [problem] if problem else []
