INSERT INTO environment (space, name, body, digest) VALUES (:space, :name, :body, :digest)
ON CONFLICT (space, name) DO UPDATE SET body = excluded.body, digest = excluded.digest
