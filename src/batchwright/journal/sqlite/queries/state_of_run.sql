SELECT last, fence, holder, expires FROM run WHERE run = :run
