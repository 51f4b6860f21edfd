UPDATE run
SET last = :last, summary = coalesce(:summary, summary)
WHERE run = :run AND last = :after AND fence = :fence AND holder = :holder
