"""Opens connections for a path: creates the store, refuses a foreign or incomplete one, explains errors."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from batchwright import durable_files
from batchwright.errors import StoreCorrupt, StoreError, StoreFull, StoreNewer, StoreReadOnly, StoreUnavailable
from batchwright.journal import store_folder
from batchwright.journal.high_water_mark import Entry, HighWaterMark, Loss
from batchwright.journal.high_water_mark import behind as mark_behind
from batchwright.journal.query_files import load
from batchwright.journal.sql import data_access
from batchwright.journal.sql.connection import NOTHING

SCHEMA_VERSION = 5  # 2: chains, and a mark; 3: environments; 4: deliveries of webhooks; 5: runs may be archived
APPLICATION_ID = int.from_bytes(b"BtWr", "big")
SQL = load("batchwright.journal.sql", ".sql") | load(__package__, ".sql")
PAGES_AT_ONCE = 250  # pages of the file that one transaction gives back
BUSY_SECONDS = 30.0  # longest wait for another process's transaction; its transactions take milliseconds

_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_REFUSED = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH)


class SqliteConnection:
    """The named statements on one connection."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        self.raw = raw

    def rows(self, name: str, values: Mapping[str, Any] = NOTHING) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        return self.raw.execute(SQL[name], values).fetchall()

    def row(self, name: str, values: Mapping[str, Any] = NOTHING) -> tuple[Any, ...] | None:
        """The first row, None if there is none."""
        found: tuple[Any, ...] | None = self.raw.execute(SQL[name], values).fetchone()
        return found

    def row_each(self, name: str, rows: Sequence[Mapping[str, Any]]) -> list[tuple[Any, ...] | None]:
        """The first row of a query for each of these values."""
        return [self.row(name, values) for values in rows]

    def execute(self, name: str, values: Mapping[str, Any] = NOTHING) -> None:
        """Carry out a statement."""
        self.raw.execute(SQL[name], values)

    def execute_each(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Carry out a statement once for each of these values."""
        self.raw.executemany(SQL[name], rows)

    def change(self, name: str, values: Mapping[str, Any] = NOTHING) -> int:
        """Carry out a statement; gives how many rows it changed."""
        return self.raw.execute(SQL[name], values).rowcount

    def free_pages(self) -> int:
        """Give some unused pages back to the file system, if the file was made for it; gives how many bytes remain."""
        for _ in range(PAGES_AT_ONCE):  # the module ends this statement after one page, whatever number it is given
            self.raw.execute("PRAGMA incremental_vacuum(1)")
        return self.unused()

    def unused(self) -> int:
        """Bytes of pages that nothing uses."""
        [[pages]], [[size]] = (
            self.raw.execute(f"PRAGMA {name}").fetchall() for name in ("freelist_count", "page_size")
        )
        return int(pages * size)


def open_store(path: Path, mark: HighWaterMark, behind: bool) -> sqlite3.Connection:
    """Create the store if there is none, check it as far as that is quick, and connect for reading.

    With `behind`, a store that has lost events is opened too. Raises StoreError.
    """
    store_folder.make_private(path.parent)
    try:
        with store_folder.alone(path.parent):
            _make(path, mark, behind)
        connection = connect(path, mark, behind)
        connection.execute("PRAGMA query_only = ON")
    except sqlite3.Error as error:
        raise explain(error, path) from error
    return connection


def connect(path: Path, mark: HighWaterMark, behind: bool = False) -> sqlite3.Connection:
    """A connection to an existing store that has all acknowledged events. Raises StoreError, sqlite3.Error."""
    marked = [] if behind else mark.recent()  # before the store is looked at, which others may write
    connection = _connect(path)
    try:
        if lost := data_access.losses(SqliteConnection(connection), marked):
            raise mark_behind(path, lost)
    except BaseException:
        connection.close()
        raise
    return connection


def _connect(path: Path) -> sqlite3.Connection:
    where = f"{path.absolute().as_uri()}?mode=rw"  # a file that is not there is made by _create only
    connection = sqlite3.connect(where, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA temp_store = MEMORY")
    return connection


def _make(path: Path, mark: HighWaterMark, behind: bool) -> None:
    """Make a new store where there is none or none that was ever used; refuse one that is not ours or is newer."""
    try:
        empty = not path.exists() or path.stat().st_size == 0
        if not empty:
            path.open("rb").close()  # SQLite says less about what is in the way
    except OSError as error:
        raise store_folder.explain(error, path) from error
    if not empty:
        connection = _connect(path)
        try:
            empty = _identify(connection, path, mark)
        finally:
            connection.close()
    if not empty:
        return
    marked = mark.entries() if mark.exists() and not behind else {}
    if marked:
        raise mark_behind(path, [Loss(entry.run, 0, entry.last) for entry in marked.values()])
    log = path.with_name(f"{path.name}-wal")
    if log.exists() and log.stat().st_size:
        raise StoreCorrupt(f"{path} is missing or empty, but its log {log.name} exists: the two belong together")
    if not mark.exists():
        mark.make()
    _create(path)


def _identify(connection: sqlite3.Connection, path: Path, mark: HighWaterMark) -> bool:
    """Whether it holds nothing at all. Raises StoreCorrupt, StoreNewer."""
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if application == 0 and version == 0 and tables == 0:
        return True
    if application != APPLICATION_ID or version < 1:
        raise StoreCorrupt(f"{path} is an SQLite database, but not a Batchwright store")
    if version > SCHEMA_VERSION:
        raise StoreNewer(f"{path} has format {version}; this Batchwright knows formats up to {SCHEMA_VERSION}")
    if version == 1:
        # the mark first: a store with a chain always has one
        mark.make(Entry(run, last, None) for run, last in connection.execute("SELECT run, last FROM run"))
    _upgrade(connection)
    return False


def _upgrade(connection: sqlite3.Connection) -> None:
    """From its format to the newest, one by one. A new store takes the same way from the format of schema.sql."""
    for version in range(connection.execute("PRAGMA user_version").fetchone()[0], SCHEMA_VERSION):
        try:
            connection.executescript(f"BEGIN IMMEDIATE;\n{_text(f'upgrade_{version}.sql')}\nCOMMIT;")
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _create(path: Path) -> None:
    """Make the store under another name and give it its own when it is whole, so that a kill leaves no half of one."""
    fresh = path.with_name(f"{path.name}.new")
    try:
        for left in path.parent.glob(f"{fresh.name}*"):
            left.unlink()  # what a killed process left
        os.close(os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        connection = _connect(fresh)
        try:
            _fill(connection, path)
        finally:
            connection.close()
        durable_files.sync_file(fresh)
        fresh.rename(path)
        durable_files.sync_folder(path.parent)
    except OSError as error:
        raise store_folder.explain(error, path) from error


def _fill(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # before all else; only then can the file shrink
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise StoreUnavailable(
            f"the file system of {path} does not support memory shared between processes, which the store needs",
            hint="Choose a folder on a local disk with --state-dir or BATCHWRIGHT_STATE_DIR.",
        )
    connection.executescript(_text("schema.sql"))
    _upgrade(connection)


def _text(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def explain(error: sqlite3.Error, path: Path) -> StoreError:
    """The StoreError for an SQLite error, with what the user of the store at `path` can do."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and store_folder.has_no_space(path.parent)):
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
