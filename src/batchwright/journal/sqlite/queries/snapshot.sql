SELECT seq, body FROM snapshot WHERE run = :run
