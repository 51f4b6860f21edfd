INSERT INTO signal (run, number, body, digest) VALUES (:run, :number, :body, :digest)
