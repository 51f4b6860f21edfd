SELECT last, fence, holder, expires, head FROM run WHERE run = :run
