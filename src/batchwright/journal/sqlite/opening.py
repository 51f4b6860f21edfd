"""From a path to connections: creates the file, refuses what is not ours, and says what SQLite's errors mean."""

from __future__ import annotations

import os
import sqlite3
from importlib import resources
from pathlib import Path

from batchwright import durable
from batchwright.errors import StoreCorrupt, StoreError, StoreFull, StoreNewer, StoreReadOnly, StoreUnavailable
from batchwright.journal import folder

SCHEMA_VERSION = 1
APPLICATION_ID = int.from_bytes(b"BtWr", "big")
BUSY_SECONDS = 30.0  # longest wait for another process's transaction; its transactions take milliseconds

_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_REFUSED = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH)


def open_store(path: Path) -> tuple[sqlite3.Connection, sqlite3.Connection]:
    """A connection for the writer and one for readers. Raises StoreError."""
    folder.make_private(path.parent)
    opened: list[sqlite3.Connection] = []
    try:
        with folder.alone(path.parent):
            _make_file(path)
            opened.append(_connect(path))
            _identify(opened[0], path)
        opened.append(_connect(path))
        opened[1].execute("PRAGMA query_only = ON")
    except BaseException as error:
        for connection in opened:
            connection.close()
        if isinstance(error, sqlite3.Error):
            raise explain(error, path) from error
        raise
    return opened[0], opened[1]


def _make_file(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise folder.explain(error, path) from error


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA temp_store = MEMORY")
    return connection


def _identify(connection: sqlite3.Connection, path: Path) -> None:
    """Make a new store of an empty file; refuse one that is not ours or is newer."""
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if application == 0 and version == 0 and tables == 0:
        _create(connection, path)
    elif application != APPLICATION_ID or version < 1:
        raise StoreCorrupt(f"{path} is an SQLite database, but not a Batchwright store")
    elif version > SCHEMA_VERSION:
        raise StoreNewer(f"{path} has format {version}; this Batchwright knows formats up to {SCHEMA_VERSION}")


def _create(connection: sqlite3.Connection, path: Path) -> None:
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise StoreUnavailable(
            f"the file system of {path} cannot share memory between processes, which the store needs",
            hint="Name a folder on a local disk with --state-dir or BATCHWRIGHT_STATE_DIR.",
        )
    schema = resources.files(__package__).joinpath("schema.sql").read_text(encoding="utf-8")
    try:
        connection.executescript(schema)
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    durable.sync_folder(path.parent)


def explain(error: sqlite3.Error, path: Path) -> StoreError:
    """What an SQLite error means to somebody who uses the store at `path`."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and folder.has_no_space(path.parent)):
        return StoreFull(f"the disk that holds {path} is full")
    if code in _REFUSED:
        return StoreReadOnly(f"{path} cannot be written")
    if code in _DAMAGED:
        return StoreCorrupt(f"{path} is damaged or is not a Batchwright store: {error}")
    if code in _BUSY:
        return StoreUnavailable(
            f"another process has kept {path} busy for more than {BUSY_SECONDS:.0f} seconds",
            hint="See which process it is with: fuser -v FILE",
        )
    return StoreUnavailable(f"{path} cannot be used: {error} ({getattr(error, 'sqlite_errorname', 'no code')})")
