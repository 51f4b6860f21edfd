INSERT INTO page (run, first, last, version, body, chain)
VALUES (:run, :first, :last, :version, :body, :chain)
ON CONFLICT (run, last) DO UPDATE
SET first = excluded.first, version = excluded.version, body = excluded.body, chain = excluded.chain
