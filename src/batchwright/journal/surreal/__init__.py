"""The store of `storage_backend = "surrealdb"`: an embedded engine, held by one process; others go through that one."""

from batchwright.journal.surreal.journal import SurrealJournal

__all__ = ["SurrealJournal"]
