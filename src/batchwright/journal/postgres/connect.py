"""Connects to the server, checks that it can hold a journal, makes or upgrades the store, and explains errors."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import resources
from typing import Any

import psycopg
from psycopg import sql as text

from batchwright.errors import (
    StoreCorrupt,
    StoreDenied,
    StoreError,
    StoreFull,
    StoreNewer,
    StoreStandby,
    StoreTooLarge,
    StoreUnavailable,
    StoreUnreachable,
    StoreUnsupported,
)
from batchwright.journal.high_water_mark import Entry, HighWaterMark, Loss, behind
from batchwright.journal.postgres.address import SCHEMA_VERSION, PostgresAddress
from batchwright.journal.query_files import load
from batchwright.journal.sql import data_access
from batchwright.journal.sql.connection import NOTHING

OLDEST_SERVER = 13
CONNECT_SECONDS = 10
_BESIDE: dict[str, Any] = {
    "connect_timeout": CONNECT_SECONDS,
    "client_encoding": "utf8",
    "application_name": "batchwright",
    "keepalives_idle": 5,  # a server that vanished without a word is noticed after about 15 seconds
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
_NAMED = re.compile(r"(?<![:\w]):([a-z_]+)")

Raw = psycopg.Connection[tuple[Any, ...]]


def _translated(statement: str) -> bytes:
    return _NAMED.sub(r"%(\1)s", statement).encode()


logging.getLogger("psycopg").setLevel(logging.ERROR)  # what it ignores need not be told

SQL = {name: _translated(one) for name, one in load("batchwright.journal.sql", ".sql").items()}
SQL |= {name: _translated(one) for name, one in load(__package__, ".sql").items()}


class PostgresConnection:
    """The shared statements on one connection."""

    def __init__(self, raw: Raw) -> None:
        self.raw = raw

    def rows(self, name: str, values: Mapping[str, Any] = NOTHING) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        return self.raw.execute(SQL[name], values).fetchall()

    def row(self, name: str, values: Mapping[str, Any] = NOTHING) -> tuple[Any, ...] | None:
        """The first row, None if there is none."""
        return self.raw.execute(SQL[name], values).fetchone()

    def row_each(self, name: str, rows: Sequence[Mapping[str, Any]]) -> list[tuple[Any, ...] | None]:
        """The first row of a query for each of these values, in one journey to the server."""
        with self.raw.pipeline():
            cursors = [self.raw.execute(SQL[name], values) for values in rows]
        return [cursor.fetchone() for cursor in cursors]

    def execute(self, name: str, values: Mapping[str, Any] = NOTHING) -> None:
        """Carry out a statement."""
        self.raw.execute(SQL[name], values)

    def execute_each(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Carry out a statement once for each of these values."""
        with self.raw.cursor() as cursor:
            cursor.executemany(SQL[name], rows)

    def change(self, name: str, values: Mapping[str, Any] = NOTHING) -> int:
        """Carry out a statement; gives how many rows it changed."""
        return self.raw.execute(SQL[name], values).rowcount

    def close(self) -> None:
        """Disconnect."""
        self.raw.close()


def connect(address: PostgresAddress, mark: HighWaterMark | None) -> PostgresConnection:
    """A connection to an existing store that has all events that were acknowledged here. Raises StoreError."""
    marked = [] if mark is None else mark.recent()  # before the store is looked at, which others may write
    return _checked(address, lambda connection: _compare(connection, address, marked))


def open_store(address: PostgresAddress, mark: HighWaterMark, look_only: bool) -> PostgresConnection:
    """Connect, check the server, and make or upgrade the store. With `look_only`, lost events are accepted.

    Raises StoreError.
    """
    marked = [] if look_only else mark.recent()

    def prepare(connection: PostgresConnection) -> None:
        _refuse_unfit(connection, address)
        _prepare(connection, address, marked)
        _compare(connection, address, marked)

    return _checked(address, prepare)


def connect_only(address: PostgresAddress) -> PostgresConnection:
    """A connection that may write and waits for the disk. Raises StoreError, SecretMissing."""
    return _checked(address, lambda _: None)


def _checked(address: PostgresAddress, examine: Callable[[PostgresConnection], None]) -> PostgresConnection:
    address.check()
    try:
        # nothing is prepared: of a statement that an error in a pipeline skipped, the driver would think that it is
        raw: Raw = psycopg.connect(
            address.url, autocommit=True, prepare_threshold=None, **(_BESIDE | address.parameters())
        )
    except psycopg.Error as error:
        raise explain(error, address, connecting=True) from None  # its text may hold the URL
    connection = PostgresConnection(raw)
    try:
        connection.rows("session", {"schema": address.schema})
        _refuse_standby(connection, address)
        examine(connection)
    except psycopg.Error as error:
        connection.close()
        raise explain(error, address) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _compare(connection: PostgresConnection, address: PostgresAddress, marked: list[Entry]) -> None:
    if lost := data_access.losses(connection, marked):
        raise behind(address, lost)


def _refuse_standby(connection: PostgresConnection, address: PostgresAddress) -> None:
    _, _, standby, waits, _ = connection.rows("settings")[0]
    if standby:
        raise _standby(address)
    if waits == "off":
        raise StoreUnsupported(
            f"{address} does not wait for its disk (synchronous_commit = off), not even if it is asked to",
            hint="Connect without a pooler that resets synchronous_commit.",
        )


def _refuse_unfit(connection: PostgresConnection, address: PostgresAddress) -> None:
    version, encoding, _, _, syncs = connection.rows("settings")[0]
    if version < OLDEST_SERVER * 10_000:
        raise StoreUnsupported(
            f"{address} is PostgreSQL {version // 10_000}; this Batchwright needs {OLDEST_SERVER} or newer",
            hint="Upgrade the server, or use a store in the state folder.",
        )
    if encoding != "UTF8":
        raise StoreUnsupported(
            f"{address} has the encoding {encoding}, and a journal needs UTF8",
            hint="Make a database for it: CREATE DATABASE batchwright ENCODING 'UTF8' TEMPLATE template0",
        )
    if not syncs:
        raise StoreUnsupported(
            f"{address} runs with fsync = off: a power failure would lose acknowledged events",
            hint="Set fsync = on in postgresql.conf and reload the server.",
        )


def _prepare(connection: PostgresConnection, address: PostgresAddress, marked: list[Entry]) -> None:
    """Make the store or bring it to the newest format, alone: others that open it at the same time wait."""
    names = {"schema": address.schema}
    there, has_schema = connection.rows("identify", names)[0]
    if there and connection.rows("version") == [(SCHEMA_VERSION,)]:
        return
    connection.raw.execute("BEGIN")
    connection.raw.execute("SET LOCAL statement_timeout = 0")
    connection.rows("lock_schema", names)
    there, has_schema = connection.rows("identify", names)[0]  # as the one before us left it
    if not there:
        if marked:
            raise behind(address, [Loss(entry.run, 0, entry.last) for entry in marked])
        if not has_schema:
            connection.raw.execute(text.SQL("CREATE SCHEMA {}").format(text.Identifier(address.schema)))
    [[version]] = connection.rows("version") if there else [[0]]
    if version > SCHEMA_VERSION:
        raise StoreNewer(f"{address} has format {version}; this Batchwright knows formats up to {SCHEMA_VERSION}")
    for number in range(version + 1, SCHEMA_VERSION + 1):
        script = resources.files(__package__).joinpath("schema", f"{number}.sql").read_text(encoding="utf-8")
        connection.raw.execute(script.encode())
    connection.execute("set_version", {"version": SCHEMA_VERSION})
    connection.raw.execute("COMMIT")


def is_lost(error: psycopg.Error, connection: PostgresConnection) -> bool:
    """Whether the connection is of no use any more: it broke, or its server became a standby."""
    return connection.raw.closed or connection.raw.broken or (error.sqlstate or "") in _GONE


_GONE = ("57P01", "57P02", "57P03", "25006")  # shut down, crashed, starting up, read-only
_STANDBY = ("read-only", "hot standby", "not in hot standby", "server is in recovery")
_DENIED = ("28", "42501")
_EXPLAINED: dict[str, tuple[type[StoreError], str]] = {
    "53100": (StoreFull, "the disk of {place} is full"),
    "53300": (StoreUnavailable, "{place} has no connection left: {text}"),
    "54": (StoreTooLarge, "{place} does not take an entry of this size: {text}"),
    "57014": (StoreUnavailable, "{place} took more than a minute for one statement, and it was broken off"),
    "3D": (StoreUnavailable, "{place} has no such database: {text}"),
    "XX001": (StoreCorrupt, "{place} is damaged: {text}"),
    "XX002": (StoreCorrupt, "{place} is damaged: {text}"),
    "42P01": (StoreCorrupt, "{place} has lost a table of the store: {text}"),
}
_REFUSALS = {  # how libpq tells, in English only, why the server did not let us in
    "password|pg_hba.conf|role .* does not exist|role .* is not permitted": "28000",
    "database .* does not exist": "3D000",
    "too many (clients|connections)|remaining connection slots": "53300",
}
_HINTS = {
    "53300": "Raise max_connections on the server; each process takes at most 6.",
    "3D": "Make it as a superuser: CREATE DATABASE name OWNER user",
    "42501": "The user needs the right to create the schema: GRANT CREATE ON DATABASE name TO user",
}


def explain(error: psycopg.Error, address: PostgresAddress, *, connecting: bool = False) -> StoreError:
    """The StoreError for an error of the server or the connection, with what its user can do."""
    state = error.sqlstate or ""
    told = " ".join(str(error).split())
    if connecting:
        told = _without_url(told, address).removeprefix("connection failed: ")
        if any(word in told for word in _STANDBY):
            return _standby(address)
        state = state or next((code for words, code in _REFUSALS.items() if re.search(words, told)), "")
    if state.startswith(_DENIED):
        return StoreDenied(f"{address} rejects the user or the operation: {told}", hint=_HINTS.get(state, _SIGN_IN))
    if state == "25006":
        return _standby(address)
    for begin, (kind, words) in _EXPLAINED.items():
        if state.startswith(begin):
            return kind(words.format(place=address, text=told), hint=_HINTS.get(begin, ""))
    if connecting or not state or state.startswith("08") or state in _GONE:
        return StoreUnreachable(f"{address} cannot be reached: {told}", hint=_hint_for(told))
    return StoreUnavailable(f"{address} cannot be used: {told}")


_SIGN_IN = "Check user and password in config.toml or BATCHWRIGHT_POSTGRES_*, and pg_hba.conf on the server."


def _hint_for(told: str) -> str:
    if "SSL" in told or "certificate" in told:
        return (
            "Set sslrootcert to the certificate of your own authority. A server without TLS needs sslmode = "
            '"disable"; docs/stores.md has all settings.'
        )
    return "Check that it is running and that BATCHWRIGHT_POSTGRES_URL or config.toml names it correctly."


def _standby(address: PostgresAddress) -> StoreStandby:
    return StoreStandby(f"{address} is a standby: it answers reads but takes no writes")


def _without_url(told: str, address: PostgresAddress) -> str:
    """libpq repeats what it could not read, which may be the URL with its password."""
    unread = ("URI", "percent-encoded", "invalid integer value", address.url)
    return "its URL cannot be read" if any(words in told for words in unread) else told
