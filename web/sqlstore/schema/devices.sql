-- An owner's tag is that of Tag, once he was here. heir is the owner, in the form of this
-- table, to whom a visitor's sessions were given, heir_tag is his tag, and adopted the time.
ALTER TABLE owners ADD COLUMN tag TEXT NOT NULL DEFAULT '';

ALTER TABLE owners ADD COLUMN heir TEXT NOT NULL DEFAULT '';

ALTER TABLE owners ADD COLUMN heir_tag TEXT NOT NULL DEFAULT '';

ALTER TABLE owners ADD COLUMN adopted TEXT NOT NULL DEFAULT '';

CREATE INDEX owners_heir ON owners (heir) WHERE heir <> '';

CREATE INDEX owners_tag ON owners (tag) WHERE tag <> '';

-- device is the SHA-256 of a device's secret, in hexadecimal, and sealed the id of its
-- owner, which only who has the secret can read. If sealed is empty, the id is the secret.
-- kind is visitor or user. number counts the devices of an owner, and told is the greatest
-- number of which this device was told. made and seen are times. seen is empty until the
-- secret has come back, and revoked unless the device was revoked, which is when.
CREATE TABLE devices (
  device TEXT NOT NULL PRIMARY KEY,
  owner TEXT NOT NULL,
  sealed TEXT NOT NULL,
  kind TEXT NOT NULL,
  number INTEGER NOT NULL,
  name TEXT NOT NULL,
  made TEXT NOT NULL,
  seen TEXT NOT NULL,
  told INTEGER NOT NULL,
  revoked TEXT NOT NULL
) WITHOUT ROWID;

CREATE INDEX devices_owner ON devices (owner, number);

CREATE INDEX devices_seen ON devices (seen);

-- Before there were devices, those of an owner shared one secret, which was his id.
INSERT INTO devices (device, owner, sealed, kind, number, name, made, seen, told, revoked)
SELECT owner, owner, '', 'visitor', 1, '', substr(made, 1, 10) || 'T00:00:00Z', used || 'T00:00:00Z', 1, ''
FROM owners;

INSERT INTO schema_versions (version) VALUES (2);
