DELETE FROM resource WHERE space = :space AND name = :name AND key = :key
