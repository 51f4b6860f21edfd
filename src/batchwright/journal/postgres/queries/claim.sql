INSERT INTO permit (account, process, granted, wants, claimed)
VALUES (:account, :process, :granted, :wants, clock_timestamp())
ON CONFLICT (account, process) DO UPDATE
SET granted = excluded.granted, wants = excluded.wants, claimed = excluded.claimed
