-- The store of storage_backend = "filesystem". application_id is "BtWr".
BEGIN IMMEDIATE;

CREATE TABLE run (
  run TEXT PRIMARY KEY NOT NULL,
  last INTEGER NOT NULL,           -- sequence number of the last event
  fence INTEGER NOT NULL,          -- grows with every holder
  holder TEXT,                     -- who may append; NULL when nobody drives the run
  expires REAL NOT NULL,
  created_at REAL NOT NULL,
  head BLOB,                       -- chain of the last page; NULL before there was a chain, as in all of these
  seal BLOB,                       -- digest of run, last, head and summary
  summary BLOB NOT NULL            -- RunSummary, JSON
) STRICT, WITHOUT ROWID;

-- What one append wrote: events first..last as one JSON array, in the codec's version of that day.
CREATE TABLE page (
  run TEXT NOT NULL,
  last INTEGER NOT NULL,
  first INTEGER NOT NULL,
  version INTEGER NOT NULL,
  chain BLOB,                      -- digest of this page and of the chain of the one before
  body BLOB NOT NULL,
  PRIMARY KEY (run, last)
) STRICT, WITHOUT ROWID;

CREATE TABLE snapshot (
  run TEXT PRIMARY KEY NOT NULL,
  seq INTEGER NOT NULL,
  digest BLOB,
  body BLOB NOT NULL
) STRICT;

CREATE TABLE signal (
  run TEXT NOT NULL,
  number INTEGER NOT NULL,
  digest BLOB,
  body BLOB NOT NULL,
  PRIMARY KEY (run, number)
) STRICT, WITHOUT ROWID;

PRAGMA application_id = 1114920818;
PRAGMA user_version = 2;
COMMIT;
