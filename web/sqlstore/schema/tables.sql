-- What is in these tables says what the constants of this package say of it.
-- Blank lines separate the statements, which D1 takes one at a time, and takes
-- a comment alone for an error.
--
-- owner is the SHA-256 of an owner's id, in hexadecimal. name is JSON text.
-- version counts up to what was deleted from records, and used is a date.
CREATE TABLE IF NOT EXISTS sessions (
  owner TEXT NOT NULL,
  name TEXT NOT NULL,
  epoch TEXT NOT NULL,
  version INTEGER NOT NULL,
  used TEXT NOT NULL,
  PRIMARY KEY (owner, name)
) WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS sessions_used ON sessions (used);

-- key and value are JSON texts. A removal has no value. merged is the date on
-- which a row got what it has. A merge that must not be gives one of the
-- versions that the constraints name.
--
-- Keys without quotes are of no entry. '' has the stamp of the last clearing,
-- 'newest' the greatest stamp of all, and as its value when somebody last
-- saved, in milliseconds since 1970 by the server's clock. 'lives' has the lives of
-- a session with a maximum age, in JSON, and as its stamp when the last one began.
-- made is when, by that clock, an entry was saved or last known to be there. What
-- was before the last life began is there for nobody.
--
-- value is the last column, so that the others are read without it. WITHOUT
-- ROWID, to find a row would take to read the values of its neighbours.
CREATE TABLE IF NOT EXISTS records (
  owner TEXT NOT NULL,
  session TEXT NOT NULL,
  key TEXT NOT NULL,
  stamp TEXT NOT NULL,
  version INTEGER NOT NULL,
  merged TEXT NOT NULL,
  made TEXT NOT NULL,
  value TEXT,
  PRIMARY KEY (owner, session, key),
  CONSTRAINT entries_limit CHECK (version <> -1),
  CONSTRAINT bytes_limit CHECK (version <> -2),
  CONSTRAINT session_gone CHECK (version <> -3)
);

CREATE INDEX IF NOT EXISTS records_version ON records (owner, session, version);

CREATE INDEX IF NOT EXISTS records_removed ON records (merged) WHERE value IS NULL;

CREATE INDEX IF NOT EXISTS records_lives ON records (owner, session) WHERE key = 'lives';

-- Who has a cookie is an owner as long as he is here. made is a time, and used a
-- date.
CREATE TABLE IF NOT EXISTS owners (
  owner TEXT NOT NULL PRIMARY KEY,
  made TEXT NOT NULL,
  used TEXT NOT NULL
) WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS owners_made ON owners (made);

CREATE INDEX IF NOT EXISTS owners_used ON owners (used);

-- code is the SHA-256 of a pairing code, in hexadecimal, and sealed the id of
-- an owner, which only who has the code can read.
CREATE TABLE IF NOT EXISTS codes (
  code TEXT NOT NULL PRIMARY KEY,
  owner TEXT NOT NULL,
  sealed TEXT NOT NULL,
  expires TEXT NOT NULL
) WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS codes_owner ON codes (owner, expires);

CREATE INDEX IF NOT EXISTS codes_expires ON codes (expires);

-- It fails where another process has been faster, and all else with it.
INSERT INTO schema_versions (version) VALUES (1);
