-- From format 3 to 4.
-- What each webhook has had of each run. The newest rows are read by whoever sends.
CREATE TABLE delivery (
  run TEXT NOT NULL,
  webhook TEXT NOT NULL,
  due REAL,                        -- when more may be sent; NULL when there is no more to send
  digest BLOB NOT NULL,
  body BLOB NOT NULL,              -- Delivery, JSON
  PRIMARY KEY (run, webhook)
) STRICT, WITHOUT ROWID;

CREATE INDEX delivery_due ON delivery (due) WHERE due IS NOT NULL;

PRAGMA user_version = 4;
