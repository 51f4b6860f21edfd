SELECT CAST(floor(extract(EPOCH FROM clock_timestamp()) / 30) AS BIGINT)
