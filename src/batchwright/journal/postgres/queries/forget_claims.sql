DELETE FROM permit WHERE account = :account AND claimed < clock_timestamp() - make_interval(secs => 10 * :seconds)
