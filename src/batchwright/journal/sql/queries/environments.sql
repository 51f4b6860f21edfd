SELECT space, name, body, digest FROM environment ORDER BY space, name
