-- Waits for a transaction that the server has not ended yet although its client is gone.
SELECT committed FROM writer WHERE writer = :writer FOR UPDATE
