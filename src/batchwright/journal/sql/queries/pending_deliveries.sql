SELECT run, webhook, body, digest FROM delivery WHERE due IS NOT NULL ORDER BY due LIMIT :most
