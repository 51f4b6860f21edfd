SELECT first, last, version, body, chain FROM page WHERE run = :run AND last > :after AND last <= :until ORDER BY last
