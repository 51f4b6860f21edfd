DELETE FROM resource WHERE space = ? AND name = ? AND key = ?
