"""The store of `storage_backend = "surrealdb"`: an engine in a folder that one process holds, or a server."""

from batchwright.journal.surreal.holder import surreal_mark
from batchwright.journal.surreal.journal import SurrealJournal
from batchwright.journal.surreal.remote import SurrealServerJournal
from batchwright.journal.surreal.server import Server

__all__ = ["Server", "SurrealJournal", "SurrealServerJournal", "surreal_mark"]
