SELECT number, id, answers, chain, body FROM audit WHERE number > :after ORDER BY number LIMIT :most
