DELETE FROM signal WHERE run = ?
