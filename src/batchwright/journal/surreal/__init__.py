"""The store of `storage_backend = "surrealdb"`: an engine in a folder that one process holds, or a server."""

from batchwright.journal.surreal.embedded.journal import SurrealJournal
from batchwright.journal.surreal.embedded.owner import surreal_mark
from batchwright.journal.surreal.server.connection import Server
from batchwright.journal.surreal.server.journal import SurrealServerJournal

__all__ = ["Server", "SurrealJournal", "SurrealServerJournal", "surreal_mark"]
