UPDATE run
SET last = :last, head = :head, summary = coalesce(:summary, summary), seal = :seal
WHERE run = :run AND last = :after AND fence = :fence AND holder = :holder
