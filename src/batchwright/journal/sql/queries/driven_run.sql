SELECT run, last, head, seal, summary FROM run WHERE run = :run
