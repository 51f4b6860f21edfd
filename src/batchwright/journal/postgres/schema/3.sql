-- From format 2 to 3.
-- The access tokens of all services of this store; of a secret only its hash.
CREATE TABLE access_token (
  id TEXT COLLATE "C" PRIMARY KEY,
  body BYTEA NOT NULL              -- AccessToken, JSON
);

-- The audit trail of all services of this store. Rows are only added: the result of a request is a row of its own.
CREATE TABLE audit (
  number BIGINT PRIMARY KEY,       -- 1, 2, ... without a gap
  id TEXT COLLATE "C" NOT NULL UNIQUE, -- of whoever adds it, so that it is added once
  answers TEXT COLLATE "C",        -- the id of the request whose result this is; NULL for a request
  chain BYTEA NOT NULL,            -- digest of this row and of the chain of the one before
  body BYTEA NOT NULL              -- AuditEntry, JSON
);
CREATE INDEX audit_answers ON audit (answers) WHERE answers IS NOT NULL;

-- The newest row of the trail: who adds one holds it, and a row that vanished from the end is missed.
CREATE TABLE audit_head (
  only_row BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (only_row),
  number BIGINT NOT NULL,
  chain BYTEA NOT NULL
);
INSERT INTO audit_head (number, chain) VALUES (0, '');
