INSERT INTO delivery (run, webhook, due, body, digest) VALUES (:run, :webhook, :due, :body, :digest)
ON CONFLICT (run, webhook) DO UPDATE SET due = excluded.due, body = excluded.body, digest = excluded.digest
