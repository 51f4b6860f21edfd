INSERT INTO base (space, name, body) VALUES (:space, :name, :body)
ON CONFLICT (space, name) DO UPDATE SET body = excluded.body
