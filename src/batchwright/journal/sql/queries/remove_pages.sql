DELETE FROM page WHERE run = :run
