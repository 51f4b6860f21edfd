SELECT chain FROM page WHERE run = :run AND last = :last
