INSERT INTO resource (space, name, key, body, digest) VALUES (:space, :name, :key, :body, :digest)
ON CONFLICT (space, name, key) DO UPDATE SET body = excluded.body, digest = excluded.digest
