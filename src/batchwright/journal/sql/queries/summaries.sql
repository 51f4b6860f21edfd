SELECT run, last, head, seal, summary FROM run ORDER BY created_at DESC, run
