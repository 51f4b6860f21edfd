SELECT run, webhook, body, digest FROM delivery WHERE run = :run ORDER BY webhook
