UPDATE run SET summary = :summary, seal = :seal WHERE run = :run
