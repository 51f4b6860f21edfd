SELECT run, webhook, body, digest FROM delivery ORDER BY run, webhook
