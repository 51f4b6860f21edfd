INSERT INTO page (run, first, last, version, body) VALUES (?, ?, ?, ?, ?)
