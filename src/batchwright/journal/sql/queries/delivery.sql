SELECT run, webhook, body, digest FROM delivery WHERE run = :run AND webhook = :webhook
