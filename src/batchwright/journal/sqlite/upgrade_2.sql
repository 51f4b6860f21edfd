-- From format 2, which knew only runs, to 3.
-- Whose turn it is in each environment; the turn changes in the transaction of the event that begins or ends it.
CREATE TABLE environment (
  space TEXT NOT NULL,             -- real or simulated
  name TEXT NOT NULL,
  digest BLOB NOT NULL,
  body BLOB NOT NULL,              -- Environment, JSON: whose turn it is
  PRIMARY KEY (space, name)
) STRICT, WITHOUT ROWID;

-- What each environment had when its newest finished turn ended.
CREATE TABLE resource (
  space TEXT NOT NULL,
  name TEXT NOT NULL,
  key TEXT NOT NULL,
  digest BLOB NOT NULL,
  body BLOB NOT NULL,              -- Resource, JSON
  PRIMARY KEY (space, name, key)
) STRICT, WITHOUT ROWID;

PRAGMA user_version = 3;
