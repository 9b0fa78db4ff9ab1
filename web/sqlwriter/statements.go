package sqlwriter

// The parameters of all statements are texts: D1's driver rounds integers. ?1
// is the owner and ?2 the session, as they are stored.

// latest is the greatest version of the session s.
const latest = `max(s.version, coalesce((SELECT max(version) FROM entries WHERE owner = ?1 AND session = ?2), 0))`

const findSession = `
SELECT s.epoch, s.used, CAST(` + latest + ` AS TEXT)
FROM sessions s WHERE s.owner = ?1 AND s.name = ?2`

// addSession does nothing when the owner has ?5 sessions.
const addSession = `
INSERT INTO sessions (owner, name, epoch, version, used)
SELECT ?1, ?2, ?3, 0, ?4
WHERE (SELECT count(*) FROM sessions WHERE owner = ?1) < CAST(?5 AS INTEGER)
ON CONFLICT (owner, name) DO NOTHING`

const useSession = `
UPDATE sessions SET used = ?3 WHERE owner = ?1 AND name = ?2 AND used < ?3`

// merge merges the records in ?3, an array of arrays of strings: key, stamp and
// value. It does all or nothing: one that would break a limit, or finds that
// the session of the epoch ?4 is gone, breaks a constraint of the schema.
//
// Values are strings, though they are JSON, so that SQLite neither parses them
// nor limits their depth, and hands their numbers back as they were.
const merge = `
WITH batch (key, stamp, value) AS MATERIALIZED (
  SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?3)
), cleared (stamp) AS MATERIALIZED (
  SELECT coalesce(max(stamp), '') FROM (
    SELECT stamp FROM batch WHERE key = ''
    UNION ALL
    SELECT stamp FROM entries WHERE owner = ?1 AND session = ?2 AND key = ''
  )
), won (key, stamp, value) AS MATERIALIZED (
  SELECT b.key, b.stamp, b.value
  FROM cleared c CROSS JOIN batch b
  LEFT JOIN entries e ON e.owner = ?1 AND e.session = ?2 AND e.key = b.key
  WHERE (b.key = '' OR b.stamp >= c.stamp)
    AND (e.key IS NULL OR
      (b.stamp, b.value IS NULL, coalesce(b.value, '')) > (e.stamp, e.value IS NULL, coalesce(e.value, '')))
), merged (entries, bytes) AS MATERIALIZED (
  SELECT count(*), coalesce(sum(size), 0) FROM (
    SELECT octet_length(key) + coalesce(octet_length(value), 0) AS size FROM won WHERE key <> ''
    UNION ALL
    SELECT octet_length(e.key) + coalesce(octet_length(e.value), 0) FROM cleared c CROSS JOIN entries e
    WHERE e.owner = ?1 AND e.session = ?2 AND e.key <> '' AND e.stamp >= c.stamp
      AND e.key NOT IN (SELECT key FROM won)
  )
)
INSERT INTO entries (owner, session, key, stamp, value, version)
SELECT ?1, ?2, w.key, w.stamp, w.value, CASE
  WHEN m.entries > CAST(?5 AS INTEGER) THEN -1
  WHEN m.bytes > CAST(?6 AS INTEGER) THEN -2
  WHEN s.epoch IS NULL THEN -3
  ELSE 1 + ` + latest + ` END
FROM merged m CROSS JOIN won w
LEFT JOIN sessions s ON s.owner = ?1 AND s.name = ?2 AND s.epoch = ?4
WHERE true
ON CONFLICT (owner, session, key) DO UPDATE
SET stamp = excluded.stamp, value = excluded.value, version = excluded.version`

const clearedStamp = `coalesce((SELECT stamp FROM entries WHERE owner = ?1 AND session = ?2 AND key = ''), '')`

// dropCleared deletes what no statement counts any more.
const dropCleared = `
DELETE FROM entries WHERE owner = ?1 AND session = ?2 AND key <> '' AND stamp < ` + clearedStamp

// readSince returns what was merged after version ?3, in one snapshot with the
// epoch and the version that it leads to: a row without a key when there is
// nothing. What was cleared and is not deleted yet comes with its clearing,
// which is the later version.
const readSince = `
SELECT s.epoch, CAST(` + latest + ` AS TEXT), e.key, e.stamp, e.value
FROM sessions s
LEFT JOIN entries e ON e.owner = ?1 AND e.session = ?2 AND e.version > CAST(?3 AS INTEGER)
WHERE s.owner = ?1 AND s.name = ?2`

const newestStamp = `
SELECT coalesce(max(stamp), '') FROM entries WHERE owner = ?1 AND session = ?2`

const loadAll = `
SELECT key, value FROM entries
WHERE owner = ?1 AND session = ?2 AND key <> '' AND value IS NOT NULL AND stamp >= ` + clearedStamp

const loadOne = `
SELECT value FROM entries
WHERE owner = ?1 AND session = ?2 AND key = ?3 AND value IS NOT NULL AND stamp >= ` + clearedStamp

const addPairing = `
INSERT INTO pairings (code, sealed, expires) VALUES (?1, ?2, ?3)`

// takePairing returns and deletes a pairing in one, so that a code counts once.
const takePairing = `
DELETE FROM pairings WHERE code = ?1 AND expires > ?2 RETURNING sealed`

// Prune deletes a session's row before its entries: a session that is used
// again in between has another epoch then, and at worst keeps what it had.
const (
	prunePairings = `DELETE FROM pairings WHERE expires <= ?1`
	pruneSessions = `DELETE FROM sessions WHERE used < ?1`
	pruneOrphans  = `
DELETE FROM entries WHERE NOT EXISTS (
  SELECT 1 FROM sessions s WHERE s.owner = entries.owner AND s.name = entries.session)`
)

// Before removals are deleted, those older than the stamp ?1, their sessions
// note the version that they reached: none must ever be given again.
const (
	keepVersions = `
UPDATE sessions SET version = max(version, (
  SELECT max(e.version) FROM entries e WHERE e.owner = sessions.owner AND e.session = sessions.name))
WHERE EXISTS (
  SELECT 1 FROM entries e WHERE e.owner = sessions.owner AND e.session = sessions.name
    AND e.value IS NULL AND e.key <> '' AND e.stamp < ?1)`

	pruneRemovals = `
DELETE FROM entries WHERE value IS NULL AND key <> '' AND stamp < ?1 AND version <= (
  SELECT s.version FROM sessions s WHERE s.owner = entries.owner AND s.name = entries.session)`
)
