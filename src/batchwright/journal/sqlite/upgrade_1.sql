-- From format 1, which had no chain, to 2.
ALTER TABLE run ADD COLUMN head BLOB;
ALTER TABLE run ADD COLUMN seal BLOB;
ALTER TABLE page ADD COLUMN chain BLOB;
ALTER TABLE snapshot ADD COLUMN digest BLOB;
ALTER TABLE signal ADD COLUMN digest BLOB;
PRAGMA user_version = 2;
