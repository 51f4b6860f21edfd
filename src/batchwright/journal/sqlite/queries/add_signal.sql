INSERT INTO signal (run, number, body)
SELECT run, (SELECT coalesce(max(number), 0) + 1 FROM signal WHERE signal.run = run.run), :body FROM run WHERE run = :run
