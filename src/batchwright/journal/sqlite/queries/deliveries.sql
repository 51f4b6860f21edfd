SELECT run, webhook, body, digest FROM delivery WHERE :run = '' OR run = :run ORDER BY run, webhook
