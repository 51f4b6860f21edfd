UPDATE run SET expires = :expires WHERE run = :run AND fence = :fence AND holder = :holder
