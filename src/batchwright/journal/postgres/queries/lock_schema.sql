SELECT pg_advisory_xact_lock(hashtextextended(:schema, 4847))
