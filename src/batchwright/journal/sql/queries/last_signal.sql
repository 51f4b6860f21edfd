SELECT (SELECT coalesce(max(number), 0) FROM signal WHERE signal.run = run.run) FROM run WHERE run = :run
