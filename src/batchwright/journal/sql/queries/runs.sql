SELECT run, last, head FROM run ORDER BY created_at, run
