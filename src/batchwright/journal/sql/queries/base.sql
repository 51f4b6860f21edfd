SELECT body FROM base WHERE space = :space AND name = :name
