INSERT INTO run (run, last, fence, holder, expires, created_at, summary, head, seal)
VALUES (:run, :last, 0, NULL, 0.0, :created_at, :summary, :head, :seal)
