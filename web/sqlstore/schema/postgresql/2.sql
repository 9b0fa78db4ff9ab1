-- See devices.sql beside this folder.
ALTER TABLE owners ADD COLUMN tag TEXT COLLATE "C" NOT NULL DEFAULT '';

ALTER TABLE owners ADD COLUMN heir TEXT COLLATE "C" NOT NULL DEFAULT '';

ALTER TABLE owners ADD COLUMN heir_tag TEXT COLLATE "C" NOT NULL DEFAULT '';

ALTER TABLE owners ADD COLUMN adopted TEXT COLLATE "C" NOT NULL DEFAULT '';

CREATE INDEX owners_heir ON owners (heir) WHERE heir <> '';

CREATE INDEX owners_tag ON owners (tag) WHERE tag <> '';

CREATE TABLE devices (
  device TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  owner TEXT COLLATE "C" NOT NULL,
  sealed TEXT COLLATE "C" NOT NULL,
  kind TEXT COLLATE "C" NOT NULL,
  number INTEGER NOT NULL,
  name TEXT COLLATE "C" NOT NULL,
  made TEXT COLLATE "C" NOT NULL,
  seen TEXT COLLATE "C" NOT NULL,
  told INTEGER NOT NULL,
  revoked TEXT COLLATE "C" NOT NULL
);

CREATE INDEX devices_owner ON devices (owner, number);

CREATE INDEX devices_seen ON devices (seen);

INSERT INTO devices (device, owner, sealed, kind, number, name, made, seen, told, revoked)
SELECT owner, owner, '', 'visitor', 1, '', substr(made, 1, 10) || 'T00:00:00Z', used || 'T00:00:00Z', 1, ''
FROM owners;

INSERT INTO schema_versions (version) VALUES (2);
