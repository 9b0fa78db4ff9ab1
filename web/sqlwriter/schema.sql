-- What is in these tables says what the constants of this package say of it.
-- Blank lines separate the statements, which D1 takes one at a time, and takes
-- a comment alone for an error.
--
-- owner is the SHA-256 of an owner's id, in hexadecimal. name is JSON text.
-- version counts up to what was deleted from entries; used is a date.
CREATE TABLE IF NOT EXISTS sessions (
  owner TEXT NOT NULL,
  name TEXT NOT NULL,
  epoch TEXT NOT NULL,
  version INTEGER NOT NULL,
  used TEXT NOT NULL,
  PRIMARY KEY (owner, name)
) WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS sessions_used ON sessions (used);

-- key and value are JSON texts. A removal has no value. The key '' is no
-- entry's: its stamp is that of the last clearing. A merge that must not be
-- gives one of the versions that the constraints name.
CREATE TABLE IF NOT EXISTS entries (
  owner TEXT NOT NULL,
  session TEXT NOT NULL,
  key TEXT NOT NULL,
  stamp TEXT NOT NULL,
  value TEXT,
  version INTEGER NOT NULL,
  PRIMARY KEY (owner, session, key),
  CONSTRAINT entries_limit CHECK (version <> -1),
  CONSTRAINT bytes_limit CHECK (version <> -2),
  CONSTRAINT session_gone CHECK (version <> -3)
) WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS entries_version ON entries (owner, session, version);

CREATE INDEX IF NOT EXISTS entries_removed ON entries (stamp) WHERE value IS NULL;

-- code is the SHA-256 of a pairing code, in hexadecimal, and sealed the id of
-- an owner, which only who has the code can read.
CREATE TABLE IF NOT EXISTS pairings (
  code TEXT NOT NULL PRIMARY KEY,
  sealed TEXT NOT NULL,
  expires TEXT NOT NULL
) WITHOUT ROWID;
