-- As `advance_run`; if it changes nothing, the division fails, and with it the transaction and what was sent after this.
-- The chain must go on where we thought that it ends.
WITH advanced AS (
  UPDATE run
  SET last = :last, head = :head, summary = coalesce(:summary, summary), seal = :seal
  WHERE run = :run AND last = :after AND fence = :fence AND holder = :holder AND head IS NOT DISTINCT FROM :before
  RETURNING 1
)
SELECT 1 / (SELECT count(*) FROM advanced)
