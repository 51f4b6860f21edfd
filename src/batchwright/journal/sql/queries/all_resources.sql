SELECT space, name, key, body, digest FROM resource ORDER BY space, name, key
