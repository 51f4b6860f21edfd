SELECT key, body, digest FROM resource WHERE space = :space AND name = :name ORDER BY key
