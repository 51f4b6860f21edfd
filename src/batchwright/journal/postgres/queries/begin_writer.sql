-- Before its first transaction on a connection. It waits for one whose end is not known yet; old rows of others go.
WITH forgotten AS (DELETE FROM writer WHERE used < now() - INTERVAL '7 days' AND writer <> :writer)
INSERT INTO writer (writer, committed) VALUES (:writer, 0) ON CONFLICT (writer) DO NOTHING
