SELECT number, body FROM signal WHERE run = :run AND number > :after ORDER BY number
