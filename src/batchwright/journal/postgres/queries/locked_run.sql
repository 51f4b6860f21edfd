-- As `summary`, in a transaction that changes the run or what belongs to it: others that do so wait.
SELECT run, last, head, seal, summary FROM run WHERE run = :run FOR UPDATE
