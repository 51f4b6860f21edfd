INSERT INTO snapshot (run, seq, body, digest) VALUES (:run, :seq, :body, :digest)
ON CONFLICT (run) DO UPDATE SET seq = excluded.seq, body = excluded.body, digest = excluded.digest
WHERE excluded.seq >= snapshot.seq
