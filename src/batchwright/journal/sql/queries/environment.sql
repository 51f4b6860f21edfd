SELECT body, digest FROM environment WHERE space = :space AND name = :name
