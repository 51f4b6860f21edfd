INSERT INTO run (run, last, fence, holder, expires, created_at, summary)
VALUES (:run, 1, 0, NULL, 0.0, :created_at, :summary)
ON CONFLICT (run) DO NOTHING
