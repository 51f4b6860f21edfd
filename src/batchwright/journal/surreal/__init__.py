"""The store of `storage_backend = "surrealdb"`: an engine in a folder that one process holds, or a server."""

from batchwright.journal.surreal.embedded.journal import SurrealJournal
from batchwright.journal.surreal.embedded.owner import surreal_mark
from batchwright.journal.surreal.server.connection import ServerAddress
from batchwright.journal.surreal.server.journal import SurrealServerJournal

__all__ = ["ServerAddress", "SurrealJournal", "SurrealServerJournal", "surreal_mark"]
