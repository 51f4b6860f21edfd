INSERT OR REPLACE INTO page (run, first, last, version, body, chain) VALUES (?, ?, ?, ?, ?, ?)
