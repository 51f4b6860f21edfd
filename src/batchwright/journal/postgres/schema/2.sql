-- From format 1 to 2.
-- How many calls of an account each process may have in flight, as long as it says so again in time.
CREATE TABLE permit (
  account TEXT COLLATE "C" NOT NULL,
  process TEXT COLLATE "C" NOT NULL,
  granted INTEGER NOT NULL,
  wants BOOLEAN NOT NULL,          -- whether it has calls in flight or that wait
  claimed TIMESTAMPTZ NOT NULL,    -- by the server's clock, which is the only one that is compared
  PRIMARY KEY (account, process)
);
