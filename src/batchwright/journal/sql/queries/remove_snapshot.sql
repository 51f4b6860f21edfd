DELETE FROM snapshot WHERE run = :run
