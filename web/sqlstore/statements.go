package sqlstore

import (
	"context"
	"database/sql"
)

// All parameters are texts, because D1's driver rounds integers. ?1 is the owner and ?2
// the session, in the form in which they are stored.
//
// The constants are the same on SQLite, D1 and PostgreSQL, which calls the parameters $1
// and so on. What is not the same is in a dialect: here that of SQLite and D1, and in
// postgresql.go the other.

// A dialect has what an engine says and does in its own way.
type dialect struct {
	// merge merges the records in ?3, an array of arrays of strings: key, stamp, value
	// and made. It merges all of them or none. If they would break the limit of ?5
	// entries or ?6 bytes, or the session of the epoch ?4 is gone, the statement refuses,
	// by a version that refusal knows: it breaks the constraint of the schema that is for
	// it, or where it is concurrent returns the version. ?7 is today, ?8 the stamp of a clearing in the last life
	// or empty, ?9 the newest stamp of the batch, and ?10 when somebody last saved. ?15
	// is the time. A stored time that is more than ?16 later is from when this clock was
	// wrong. Unless ?17 is empty, the session is refused as if it was gone if its version is
	// another.
	//
	// The session's lives are ?11, and become ?12. The last of these began at ?13. ?12
	// depends on ?14, when somebody had last saved before. If that or the lives have
	// changed, nothing is done, as if the session was gone. Records of the last life win
	// over earlier ones, whatever their stamps.
	//
	// Values are JSON, but are passed as strings. So no engine parses them or limits
	// their depth, and each returns their numbers unchanged. A clearing is a record with
	// an empty key.
	merge string
	// hasKey is true for the row of the key ?4.
	hasKey string
	// nextSessions returns the next 1,000 sessions that have records, and which of them
	// are gone or were once cleared. It takes one step for each session.
	nextSessions string
	// pruneOrphan deletes some records of a session that is gone.
	pruneOrphan string
	// removals returns the next 1,000 removals and clearings, or sessions that have some:
	// the owner, the session, the date, the place among those of that date, and a key.
	// They are from before the date ?1, and come after the date ?2 and the place ?3.
	removals string
	// restored gives each session another epoch.
	restored string
	// room returns how many pages are still free, and how many the database may have.
	// It is empty if the engine does not tell.
	room string

	// concurrent says that others write during a statement. A transaction then begins with
	// one of the statements below. If that returns a row, it holds something until the end.
	// Otherwise they are empty: each statement is a transaction, and alone.
	concurrent bool
	// holdSession holds a session that is there: nobody else merges into it, or deletes
	// anything of it.
	holdSession string
	// holdPlace holds the place of a session that is gone: nobody begins it anew.
	holdPlace string
	// holdCount holds what is counted by the name ?1, for a limit.
	holdCount string

	// create makes the tables, or migrates them. It is nil for SQLite and D1, so that a
	// Worker, which never creates any, does not have what that takes.
	create func(ctx context.Context, db *sql.DB) error
	// longestName is the size of the longest name that the tables have, in bytes, or 0
	// for any. A longer one is replaced by its digest.
	longestName int
}

// isEntry is true for rows of entries and removals. Only their keys begin with a quote.
const isEntry = `key BETWEEN '"' AND '#'`

// lifeBegan is when the last life of the session began. Without a maximum age
// everything is later.
const lifeBegan = `coalesce((SELECT stamp FROM records WHERE owner = ?1 AND session = ?2 AND key = 'lives'), '')`

// clearedStamp is the stamp of the last clearing in that life. Entries that are older
// are gone for everybody, though their rows may still be there.
const clearedStamp = `coalesce((SELECT stamp FROM records
  WHERE owner = ?1 AND session = ?2 AND key = '' AND made >= ` + lifeBegan + `), '')`

// isThere is true for rows of entries and removals of the last life that no clearing
// has removed.
const isThere = isEntry + ` AND stamp >= ` + clearedStamp + ` AND made >= ` + lifeBegan

// recorded is the greatest version in the session's records. latest is the greatest
// version of the session s, which has none of what was deleted.
const (
	recorded = `coalesce((SELECT max(version) FROM records WHERE owner = ?1 AND session = ?2), 0)`
	latest   = `CASE WHEN s.version > ` + recorded + ` THEN s.version ELSE ` + recorded + ` END`
)

const (
	// standingColumns are the columns of a storedStanding.
	standingColumns = `s.epoch, s.used, CAST(` + latest + ` AS TEXT),
  coalesce(n.stamp, ''), coalesce(n.value, ''), coalesce(l.value, '')`

	ofSession = `
FROM sessions s
LEFT JOIN records n ON n.owner = ?1 AND n.session = ?2 AND n.key = 'newest'
LEFT JOIN records l ON l.owner = ?1 AND l.session = ?2 AND l.key = 'lives'
WHERE s.owner = ?1 AND s.name = ?2`
)

const findSession = `SELECT ` + standingColumns + ofSession

// addSession does nothing if the owner has ?5 sessions, or an heir.
const addSession = `
INSERT INTO sessions (owner, name, epoch, version, used)
SELECT ?1, ?2, ?3, 0, ?4
WHERE (SELECT count(*) FROM sessions WHERE owner = ?1) < CAST(?5 AS BIGINT)
  AND NOT EXISTS (SELECT 1 FROM owners WHERE owner = ?1 AND heir <> '')
ON CONFLICT (owner, name) DO NOTHING`

const useSession = `
UPDATE sessions SET used = ?3 WHERE owner = ?1 AND name = ?2 AND used < ?3`

// dropCleared deletes the rows of entries that a clearing has removed.
const dropCleared = `
DELETE FROM records WHERE owner = ?1 AND session = ?2 AND ` + isEntry + ` AND stamp < ` + clearedStamp

// dropOver deletes records from before the last life, the oldest first, until ?3 entries
// and ?4 bytes are left.
const dropOver = `
DELETE FROM records WHERE owner = ?1 AND session = ?2 AND key IN (
  SELECT key FROM (
    SELECT key, count(*) OVER latest AS entries,
      sum(octet_length(key) + coalesce(octet_length(value), 0)) OVER latest AS bytes
    FROM records WHERE owner = ?1 AND session = ?2 AND ` + isEntry + ` AND made < ` + lifeBegan + `
    WINDOW latest AS (ORDER BY made DESC, key)
  ) past WHERE entries > CAST(?3 AS BIGINT) OR bytes > CAST(?4 AS BIGINT))`

// readSince returns what was merged after version ?3 and is still there, in one snapshot
// with the session's standing. The standing is in a row of its own, which has no key,
// because the lives may be long.
const readSince = `
SELECT ` + standingColumns + `, NULL, NULL, NULL` + ofSession + `
UNION ALL
SELECT '', '', '', '', '', '', e.key, e.stamp, e.value
FROM sessions s
JOIN records e ON e.owner = ?1 AND e.session = ?2 AND e.version > CAST(?3 AS BIGINT)
  AND (e.key = 'newest' OR (e.key = '' OR e.` + isEntry + `) AND e.stamp >= ` + clearedStamp + ` AND e.made >= ` + lifeBegan + `)
WHERE s.owner = ?1 AND s.name = ?2`

// isOver is true if the session has a maximum age and is over at ?3, in milliseconds
// since 1970.
const isOver = `EXISTS (
  SELECT 1 FROM records l JOIN records n ON n.owner = ?1 AND n.session = ?2 AND n.key = 'newest'
  WHERE l.owner = ?1 AND l.session = ?2 AND l.key = 'lives'
    AND CAST(json(l.value) ->> 'maxAge' AS BIGINT) BETWEEN 1 AND CAST(?3 AS BIGINT) - CAST(n.value AS BIGINT) - 1)`

const loadAll = `
SELECT key, value FROM records
WHERE owner = ?1 AND session = ?2 AND ` + isThere + ` AND value IS NOT NULL AND NOT ` + isOver

// loadOne returns the value of the key ?4. A dialect's hasKey is to follow.
const loadOne = `
SELECT value FROM records
WHERE owner = ?1 AND session = ?2 AND ` + isThere + ` AND value IS NOT NULL AND NOT ` + isOver + ` AND `

// addOwner does nothing if ?5 owners were made since ?4. It does not count owners from
// the future, who were made while this clock was ahead.
const addOwner = `
INSERT INTO owners (owner, made, used, tag)
SELECT ?1, ?2, ?3, ?6 WHERE (SELECT count(*) FROM owners WHERE made > ?4 AND made <= ?2) < CAST(?5 AS BIGINT)
ON CONFLICT DO NOTHING RETURNING owner`

// useOwner notes that an owner was here, and his tag.
const useOwner = `UPDATE owners SET used = CASE WHEN used < ?2 THEN ?2 ELSE used END, tag = ?3 WHERE owner = ?1`

const findHeir = `SELECT heir FROM owners WHERE owner = ?1`

// findTag returns the owner of a tag and his heir, if he has one. It says that the tag is not
// empty because the index is of such.
const findTag = `SELECT owner, heir_tag, adopted FROM owners WHERE tag = ?1 AND tag <> '' AND heir <> ''`

// leftTo returns the owners whose heir is ?1, and who have a session still.
const leftTo = `
SELECT o.owner FROM owners o WHERE o.heir = ?1 AND o.heir <> '' AND EXISTS (SELECT 1 FROM sessions s WHERE s.owner = o.owner)`

const (
	// setHeir does nothing if the owner has another heir.
	setHeir = `
UPDATE owners SET heir = ?2, heir_tag = ?3, adopted = CASE WHEN heir = '' THEN ?4 ELSE adopted END
WHERE owner = ?1 AND heir IN ('', ?2) RETURNING heir`

	dropDevices = `DELETE FROM devices WHERE owner = ?1`
	dropCodes   = `DELETE FROM codes WHERE owner = ?1`

	// sessionsOf returns the names in the form of the table. A place that is held has no epoch.
	sessionsOf = `SELECT name FROM sessions WHERE owner = ?1 AND epoch <> '' ORDER BY name`

	// aliveSince returns the entries that were merged after the version ?4, but for those of
	// a session that is over at ?3, or that is not of the epoch ?5.
	aliveSince = `
SELECT key, stamp, made, value FROM records
WHERE owner = ?1 AND session = ?2 AND version > CAST(?4 AS BIGINT)
  AND ` + isThere + ` AND value IS NOT NULL AND NOT ` + isOver + `
  AND EXISTS (SELECT 1 FROM sessions s WHERE s.owner = ?1 AND s.name = ?2 AND s.epoch = ?5) ORDER BY stamp, key`

	// findMark returns the value of the key ?3, which is of no entry.
	findMark = `SELECT value FROM records WHERE owner = ?1 AND session = ?2 AND key = ?3`
	dropMark = `DELETE FROM records WHERE owner = ?1 AND session = ?2 AND key = ?3`

	// dropSession deletes a session whose version is ?4 at most.
	dropSession = `
DELETE FROM sessions AS s WHERE s.owner = ?1 AND s.name = ?2 AND s.epoch = ?3 AND ` + latest + ` <= CAST(?4 AS BIGINT)
RETURNING epoch`
)

// isAlive is true for devices that were not revoked, and whose lifetime is not over. Its
// parameters are times, before which a device was made or seen last that is.
func isAlive(made, seen string) string {
	return `revoked = '' AND made >= ` + made + ` AND (seen = '' OR seen >= ` + seen + `)`
}

// addDevice returns the device's number, and does nothing if the owner ?2 has ?6 devices. ?7 is visitor or user, and ?8 is when
// it is seen. ?9 and ?10 are those of isAlive.
var addDevice = `
INSERT INTO devices (device, owner, sealed, kind, number, name, made, seen, told, revoked)
SELECT ?1, ?2, ?3, ?7, n.number, ?4, ?5, ?8, n.number, ''
FROM (SELECT 1 + coalesce(max(number), 0) AS number FROM devices WHERE owner = ?2) n
WHERE (SELECT count(*) FROM devices WHERE owner = ?2 AND ` + isAlive("?9", "?10") + `) < CAST(?6 AS BIGINT)
RETURNING CAST(number AS TEXT)`

// findDevice returns a device, whether there is one of which it was not told, and when its
// owner was last here.
const findDevice = `
SELECT d.owner, d.sealed, d.kind, d.made, d.seen, d.revoked,
  EXISTS (SELECT 1 FROM devices n WHERE n.owner = d.owner AND n.number > d.told AND n.seen <> '' AND n.revoked = '' AND n.device <> d.device),
  coalesce(o.used, ''), coalesce(o.tag, '')
FROM devices d LEFT JOIN owners o ON o.owner = d.owner
WHERE d.device = ?1`

// dropUnseen deletes, and returns, the devices of an owner that were not here for the longest time, until
// there are ?2. First go those that were never here.
const dropUnseen = `
DELETE FROM devices WHERE device IN (
  SELECT device FROM (
    SELECT device, count(*) OVER (ORDER BY seen DESC, number DESC) AS place FROM devices WHERE owner = ?1 AND revoked = ''
  ) latest WHERE place > CAST(?2 AS BIGINT))
RETURNING device`

const seeDevice = `UPDATE devices SET seen = ?2 WHERE device = ?1 AND seen < ?2`

const allDevices = `
SELECT device, name, made, seen, CAST(number AS TEXT), CAST(told AS TEXT) FROM devices
WHERE owner = ?1 AND seen <> '' AND revoked = '' ORDER BY number`

// ofDevice is true for the device of the owner ?1 whose ID is ?2.
const ofDevice = ` WHERE owner = ?1 AND revoked = '' AND substr(device, 1, 16) = ?2`

const (
	tellDevice   = `UPDATE devices SET told = CAST(?3 AS INTEGER)` + ofDevice
	nameDevice   = `UPDATE devices SET name = ?3` + ofDevice + ` RETURNING owner`
	revokeDevice = `UPDATE devices SET revoked = ?3, name = ''` + ofDevice + ` RETURNING owner`
	revokeOthers = `UPDATE devices SET revoked = ?3, name = '' WHERE owner = ?1 AND revoked = '' AND substr(device, 1, 16) <> ?2 RETURNING device`
	dropDevice   = `DELETE FROM devices WHERE device = ?1 RETURNING owner`
)

// addCode does nothing if the owner ?2 has ?6 codes that have not expired at ?5. It does
// not count a code that expires later than this one, which was made while this clock was
// ahead.
const addCode = `
INSERT INTO codes (code, owner, sealed, expires)
SELECT ?1, ?2, ?3, ?4
WHERE (SELECT count(*) FROM codes WHERE owner = ?2 AND expires > ?5 AND expires <= ?4) < CAST(?6 AS BIGINT)
RETURNING code`

// takeCode returns and deletes a code in one statement, so that it is good once. The
// code must expire after ?2 and not after ?3. A code that expires later was made while
// this clock was ahead.
const takeCode = `
DELETE FROM codes WHERE code = ?1 AND expires > ?2 AND expires <= ?3 RETURNING sealed`

const findCode = `SELECT sealed FROM codes WHERE code = ?1 AND expires > ?2 AND expires <= ?3`

// Prune works in slices, so that others have their turns in between. Each deletes some
// rows, or those of one session.
//
// Prune deletes a session's row before its records. A session that is used again in
// between has another epoch then, and at worst keeps what it had. Sessions and owners must
// still be unused when the statement comes to them: on PostgreSQL, they may be used
// during the statement.
const (
	// pruneDevices deletes devices that were not here since ?1, and those that never were or
	// are without a session, and were not here or added since ?2.
	pruneDevices = `
DELETE FROM devices WHERE device IN (
  SELECT d.device FROM devices d WHERE d.seen < ?2 AND d.made < ?2
    AND (d.seen < ?1 OR NOT EXISTS (SELECT 1 FROM sessions s WHERE s.owner = d.owner)) LIMIT 100
) AND seen < ?2 RETURNING device`

	pruneCodes = `
DELETE FROM codes WHERE code IN (SELECT code FROM codes WHERE expires <= ?1 LIMIT 1000) RETURNING code`

	pruneSessions = `
DELETE FROM sessions WHERE (owner, name) IN (
  SELECT owner, name FROM sessions WHERE used < ?1 LIMIT 100) AND used < ?1 RETURNING owner`

	// pruneOwners deletes owners without a session who were not here since ?1, or since ?2 if
	// they have an heir: their pages may come until then.
	pruneOwners = `
DELETE FROM owners WHERE owner IN (
  SELECT o.owner FROM owners o WHERE o.used < ?1 AND (o.heir = '' OR o.used < ?2)
    AND NOT EXISTS (SELECT 1 FROM sessions s WHERE s.owner = o.owner) LIMIT 100
) AND used < ?1 RETURNING owner`
)

// agedSessions returns the next 100 sessions that have or had a maximum age.
const agedSessions = `
SELECT owner, session FROM records WHERE key = 'lives' AND (owner, session) > (?1, ?2)
ORDER BY owner, session LIMIT 100`

// hasCleared is true if dropCleared has something to delete. Then the process that
// merged the clearing has ended before it could.
const hasCleared = `
SELECT EXISTS (SELECT 1 FROM records WHERE owner = ?1 AND session = ?2 AND ` + isEntry + ` AND stamp < ` + clearedStamp + `)`

const (
	// pastLives are the records that are over and were merged before the date ?4. They
	// cannot come back any more. They may be of the last life, if that is over, too.
	// Cursors may have counted their versions: see keepVersion.
	pastLives = `
FROM records WHERE owner = ?1 AND session = ?2 AND ` + isEntry + ` AND merged < ?4
  AND (made < ` + lifeBegan + ` OR ` + isOver + `)`

	pruneLives = `
DELETE ` + pastLives

	// hasPastLives returns whether pruneLives has something to delete, and whether
	// dropOver has, with ?5 entries and ?6 bytes.
	hasPastLives = `
SELECT EXISTS (SELECT 1 ` + pastLives + `), (
  SELECT count(*) > CAST(?5 AS BIGINT) OR coalesce(sum(octet_length(key) + coalesce(octet_length(value), 0)), 0) > CAST(?6 AS BIGINT)
  FROM records WHERE owner = ?1 AND session = ?2 AND ` + isEntry + ` AND made < ` + lifeBegan + `)`
)

// No version may ever be given again. So keepVersion has the session note the version
// that it reached, before records are deleted. pruneRemovals deletes removals that were
// merged before the date ?3. What is merged in between is of a later date.
const (
	keepVersion = `
UPDATE sessions AS s SET version = ` + latest + ` WHERE s.owner = ?1 AND s.name = ?2`

	pruneRemovals = `
DELETE FROM records WHERE owner = ?1 AND session = ?2 AND value IS NULL AND ` + isEntry + ` AND merged < ?3`
)
