DELETE FROM page WHERE run = ?
