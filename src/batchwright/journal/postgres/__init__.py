"""The store of `storage_backend = "postgres"`: a PostgreSQL database that any number of machines share."""

from batchwright.journal.postgres.address import PostgresAddress
from batchwright.journal.postgres.journal import PostgresJournal

__all__ = ["PostgresAddress", "PostgresJournal"]
