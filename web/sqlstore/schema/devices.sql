-- An owner's tag is that of Tag, once he was here. heir is the owner, in the form of this
-- table, to whom a visitor's sessions were given.
ALTER TABLE owners ADD COLUMN tag TEXT NOT NULL DEFAULT '';

ALTER TABLE owners ADD COLUMN heir TEXT NOT NULL DEFAULT '';

CREATE INDEX owners_tag ON owners (tag) WHERE tag <> '';

-- device is the SHA-256 of a device's secret, in hexadecimal, and sealed the id of its
-- owner, which only who has the secret can read. If sealed is empty, the id is the secret.
-- made and seen are times. told is when the newest device was made of which this one was
-- told, and ended when it was revoked, or empty.
CREATE TABLE devices (
  device TEXT NOT NULL PRIMARY KEY,
  owner TEXT NOT NULL,
  sealed TEXT NOT NULL,
  name TEXT NOT NULL,
  made TEXT NOT NULL,
  seen TEXT NOT NULL,
  told TEXT NOT NULL,
  ended TEXT NOT NULL
) WITHOUT ROWID;

CREATE INDEX devices_owner ON devices (owner, made);

CREATE INDEX devices_seen ON devices (seen);

-- Before there were devices, those of an owner shared one secret, which was his id.
INSERT INTO devices (device, owner, sealed, name, made, seen, told, ended)
SELECT owner, owner, '', '', substr(made, 1, 10) || 'T00:00:00Z', used || 'T00:00:00Z', substr(made, 1, 10) || 'T00:00:00Z', ''
FROM owners;

INSERT INTO schema_versions (version) VALUES (2);
