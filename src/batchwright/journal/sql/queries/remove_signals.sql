DELETE FROM signal WHERE run = :run
