SELECT first, last, version, body, chain FROM page WHERE run = :run AND last > :after ORDER BY last
