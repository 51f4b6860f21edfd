INSERT INTO page (run, first, last, version, body, chain)
VALUES (:run, :first, :last, :version, :body, :chain)
