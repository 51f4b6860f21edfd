-- Those of the other processes that are still valid.
SELECT process, granted, wants FROM permit
WHERE account = :account AND process <> :process AND claimed > clock_timestamp() - make_interval(secs => :seconds)
