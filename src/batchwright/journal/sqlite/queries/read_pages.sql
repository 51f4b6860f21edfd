SELECT first, last, version, body FROM page WHERE run = :run AND last > :after ORDER BY last
