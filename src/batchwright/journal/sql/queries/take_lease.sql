UPDATE run SET fence = fence + 1, holder = :holder, expires = :expires WHERE run = :run RETURNING fence
