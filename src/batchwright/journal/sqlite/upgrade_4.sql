-- From format 4, which kept every run whole, to 5.
-- What an environment had at its base: the turn from which its resources can be folded, as runs before it were archived.
CREATE TABLE base (
  space TEXT NOT NULL,
  name TEXT NOT NULL,
  body BLOB NOT NULL,              -- Resources, a JSON array; its digest is in the environment's row
  PRIMARY KEY (space, name)
) STRICT, WITHOUT ROWID;

PRAGMA user_version = 5;
