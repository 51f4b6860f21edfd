SELECT number, body, digest FROM signal WHERE run = :run AND number > :after ORDER BY number
