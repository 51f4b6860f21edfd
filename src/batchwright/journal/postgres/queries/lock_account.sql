SELECT pg_advisory_xact_lock(hashtextextended(:account, 7265))
