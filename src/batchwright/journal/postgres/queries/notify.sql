SELECT pg_notify(:channel, :runs)
