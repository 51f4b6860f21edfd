INSERT INTO writer (writer, committed) VALUES (:writer, :number)
ON CONFLICT (writer) DO UPDATE SET committed = excluded.committed, used = now()
