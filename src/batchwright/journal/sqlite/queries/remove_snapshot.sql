DELETE FROM snapshot WHERE run = ?
