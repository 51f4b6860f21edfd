INSERT INTO audit (number, id, answers, chain, body) VALUES (:number, :id, :answers, :chain, :body)
