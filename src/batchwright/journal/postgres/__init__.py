"""The store of `storage_backend = "postgres"`: a PostgreSQL database that any number of machines share.

The journal itself stands in `journal`, as it needs the extra postgres; where it is does not.
"""

from batchwright.journal.postgres.address import PostgresAddress

__all__ = ["PostgresAddress"]
