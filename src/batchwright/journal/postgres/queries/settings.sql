-- What decides whether this server can hold a journal.
SELECT
  current_setting('server_version_num')::INTEGER,
  current_setting('server_encoding'),
  pg_is_in_recovery() OR current_setting('transaction_read_only')::BOOLEAN,
  current_setting('synchronous_commit'),
  current_setting('fsync')::BOOLEAN
