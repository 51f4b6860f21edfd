-- From nothing to format 1. Text compares by its bytes, so that the order is the same on every server.
CREATE TABLE store (
  only_row BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (only_row),
  version INTEGER NOT NULL
);
INSERT INTO store (version) VALUES (0);

CREATE TABLE run (
  run TEXT COLLATE "C" PRIMARY KEY,
  last BIGINT NOT NULL,            -- sequence number of the last event
  fence BIGINT NOT NULL,           -- grows with every holder
  holder TEXT COLLATE "C",         -- who may append; NULL when nobody drives the run
  expires DOUBLE PRECISION NOT NULL,
  created_at DOUBLE PRECISION NOT NULL,
  head BYTEA,                      -- chain of the last page; NULL for a run that is older than chains
  seal BYTEA,                      -- digest of run, last, head and summary
  summary BYTEA NOT NULL           -- RunSummary, JSON
);

-- What one append wrote: events first..last as one JSON array, in the codec's version of that day.
CREATE TABLE page (
  run TEXT COLLATE "C" NOT NULL,
  last BIGINT NOT NULL,
  first BIGINT NOT NULL,
  version INTEGER NOT NULL,
  chain BYTEA,                     -- digest of this page and of the chain of the one before
  body BYTEA NOT NULL,
  PRIMARY KEY (run, last)
);

CREATE TABLE snapshot (
  run TEXT COLLATE "C" PRIMARY KEY,
  seq BIGINT NOT NULL,
  digest BYTEA,
  body BYTEA NOT NULL
);

CREATE TABLE signal (
  run TEXT COLLATE "C" NOT NULL,
  number BIGINT NOT NULL,
  digest BYTEA,
  body BYTEA NOT NULL,
  PRIMARY KEY (run, number)
);

-- Whose turn it is in each environment; the turn changes in the transaction of the event that begins or ends it.
CREATE TABLE environment (
  space TEXT COLLATE "C" NOT NULL, -- real or simulated
  name TEXT COLLATE "C" NOT NULL,
  digest BYTEA NOT NULL,
  body BYTEA NOT NULL,             -- Environment, JSON: whose turn it is
  PRIMARY KEY (space, name)
);

-- What each environment had when its newest finished turn ended.
CREATE TABLE resource (
  space TEXT COLLATE "C" NOT NULL,
  name TEXT COLLATE "C" NOT NULL,
  key TEXT COLLATE "C" NOT NULL,
  digest BYTEA NOT NULL,
  body BYTEA NOT NULL,             -- Resource, JSON
  PRIMARY KEY (space, name, key)
);

-- What an environment had at its base: the turn from which its resources are folded, as older runs were archived.
CREATE TABLE base (
  space TEXT COLLATE "C" NOT NULL,
  name TEXT COLLATE "C" NOT NULL,
  body BYTEA NOT NULL,             -- Resources, a JSON array; its digest is in the environment's row
  PRIMARY KEY (space, name)
);

-- What each webhook has had of each run.
CREATE TABLE delivery (
  run TEXT COLLATE "C" NOT NULL,
  webhook TEXT COLLATE "C" NOT NULL,
  due DOUBLE PRECISION,            -- when more may be sent; NULL when there is no more to send
  digest BYTEA NOT NULL,
  body BYTEA NOT NULL,             -- Delivery, JSON
  PRIMARY KEY (run, webhook)
);

CREATE INDEX delivery_due ON delivery (due) WHERE due IS NOT NULL;

-- The number of the last transaction of each process that writes, changed in that transaction: when the connection
-- broke before the answer to a COMMIT, this tells whether it took place.
CREATE TABLE writer (
  writer TEXT COLLATE "C" PRIMARY KEY,
  committed BIGINT NOT NULL,
  used TIMESTAMPTZ NOT NULL DEFAULT now()
);
