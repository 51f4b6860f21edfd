INSERT INTO snapshot (run, seq, body) VALUES (:run, :seq, :body)
ON CONFLICT (run) DO UPDATE SET seq = excluded.seq, body = excluded.body WHERE excluded.seq >= snapshot.seq
