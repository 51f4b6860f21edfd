SELECT seq, body, digest FROM snapshot WHERE run = :run
