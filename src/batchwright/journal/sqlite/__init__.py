"""The store of `storage_backend = "filesystem"`: one SQLite file, one writer thread, shared fsyncs."""

from batchwright.journal.sqlite.journal import SqliteJournal, sqlite_mark

__all__ = ["SqliteJournal", "sqlite_mark"]
