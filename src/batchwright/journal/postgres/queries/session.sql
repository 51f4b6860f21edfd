-- How this connection works. A server that does not wait for the disk is asked to do so for us.
SELECT
  set_config('search_path', :schema, false),
  set_config('client_min_messages', 'warning', false),
  set_config('statement_timeout', '60s', false),
  set_config('idle_in_transaction_session_timeout', '10s', false), -- a stopped process keeps no row locked
  CASE WHEN current_setting('synchronous_commit') = 'off' THEN set_config('synchronous_commit', 'on', false) END
