SELECT run, summary FROM run WHERE run = :run
