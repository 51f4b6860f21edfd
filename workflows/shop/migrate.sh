#!/bin/sh
# Brings the database of the shop to the newest schema, and says which that is. It may run again at any time.
set -eu
sql() { cd / && runuser -u postgres -- psql -XAtq -v ON_ERROR_STOP=1 -d shop "$@"; }
sql << 'SQL'
SET client_min_messages = warning;
CREATE TABLE IF NOT EXISTS orders (id serial PRIMARY KEY, text text NOT NULL);
CREATE TABLE IF NOT EXISTS schema_version (version integer NOT NULL);
INSERT INTO schema_version SELECT 1 WHERE NOT EXISTS (SELECT FROM schema_version);
ALTER TABLE orders OWNER TO shop;
SQL
echo "schema=$(sql -c 'SELECT max(version) FROM schema_version')" >> "$BATCHWRIGHT_OUTPUTS"
