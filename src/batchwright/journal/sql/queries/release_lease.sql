UPDATE run SET holder = NULL WHERE run = :run AND fence = :fence AND holder = :holder
