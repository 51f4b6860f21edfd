SELECT run, summary FROM run ORDER BY created_at DESC, run
