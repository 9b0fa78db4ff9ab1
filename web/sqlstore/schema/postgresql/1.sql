-- The tables of tables.sql beside this folder, which says what is in them. Blank lines
-- separate the statements.
--
-- Texts sort by their bytes, whatever the locale.
CREATE TABLE sessions (
  owner TEXT COLLATE "C" NOT NULL,
  name TEXT COLLATE "C" NOT NULL,
  epoch TEXT COLLATE "C" NOT NULL,
  version BIGINT NOT NULL,
  used TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (owner, name)
);

CREATE INDEX sessions_used ON sessions (used);

CREATE TABLE records (
  owner TEXT COLLATE "C" NOT NULL,
  session TEXT COLLATE "C" NOT NULL,
  key TEXT COLLATE "C" NOT NULL,
  stamp TEXT COLLATE "C" NOT NULL,
  version BIGINT NOT NULL,
  merged TEXT COLLATE "C" NOT NULL,
  made TEXT COLLATE "C" NOT NULL,
  value TEXT COLLATE "C"
);

-- An index takes 2,700 bytes, and a key has more. The cast reads backslashes as
-- escapes.
CREATE UNIQUE INDEX records_key ON records (owner, session, sha256(CAST(replace(key, '\', '\\') AS BYTEA)));

-- The keys without quotes.
CREATE UNIQUE INDEX records_marks ON records (owner, session, key) WHERE key IN ('', 'newest', 'lives');

CREATE INDEX records_version ON records (owner, session, version);

CREATE INDEX records_removed ON records (merged, (owner || session)) WHERE value IS NULL;

CREATE INDEX records_lives ON records (owner, session) WHERE key = 'lives';

CREATE TABLE owners (
  owner TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  made TEXT COLLATE "C" NOT NULL,
  used TEXT COLLATE "C" NOT NULL
);

CREATE INDEX owners_made ON owners (made);

CREATE INDEX owners_used ON owners (used);

CREATE TABLE codes (
  code TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  owner TEXT COLLATE "C" NOT NULL,
  sealed TEXT COLLATE "C" NOT NULL,
  expires TEXT COLLATE "C" NOT NULL
);

CREATE INDEX codes_owner ON codes (owner, expires);

CREATE INDEX codes_expires ON codes (expires);

CREATE TABLE schema_versions (version INTEGER NOT NULL PRIMARY KEY);

INSERT INTO schema_versions (version) VALUES (1);
