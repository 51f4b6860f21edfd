-- Whether the schema and the store are there. The tables are read, as names that were not found before may be remembered.
SELECT
  EXISTS (SELECT FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
          WHERE nspname = :schema AND relname = 'store'),
  EXISTS (SELECT FROM pg_namespace WHERE nspname = :schema)
