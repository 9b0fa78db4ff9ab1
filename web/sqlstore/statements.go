package sqlstore

// All parameters are texts, because D1's driver rounds integers. ?1 is the owner and ?2
// the session, in the form in which they are stored.

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

// latest is the greatest version of the session s.
const latest = `max(s.version, coalesce((SELECT max(version) FROM records WHERE owner = ?1 AND session = ?2), 0))`

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

// room is how many pages are still free, and how many the database may have.
const room = `
SELECT max_page_count - page_count + freelist_count, max_page_count
FROM pragma_max_page_count, pragma_page_count, pragma_freelist_count`

const findSession = `SELECT ` + standingColumns + ofSession

// addSession does nothing if the owner has ?5 sessions.
const addSession = `
INSERT INTO sessions (owner, name, epoch, version, used)
SELECT ?1, ?2, ?3, 0, ?4
WHERE (SELECT count(*) FROM sessions WHERE owner = ?1) < CAST(?5 AS INTEGER)
ON CONFLICT (owner, name) DO NOTHING`

const useSession = `
UPDATE sessions SET used = ?3 WHERE owner = ?1 AND name = ?2 AND used < ?3`

// merge merges the records in ?3, an array of arrays of strings: key, stamp, value and
// made. It merges all of them or none. If they would break the limit of ?5 entries or ?6
// bytes, or the session of the epoch ?4 is gone, the statement breaks a constraint of
// the schema. ?7 is today, ?8 the stamp of a clearing in the last life or empty, ?9 the
// newest stamp of the batch, and ?10 when somebody last saved. ?15 is the time. A stored
// time that is more than ?16 later is from when this clock was wrong.
//
// The session's lives are ?11, and become ?12. The last of these began at ?13. ?12
// depends on ?14, when somebody had last saved before. If that or the lives have
// changed, nothing is done, as if the session was gone. Records of the last life win
// over earlier ones, whatever their stamps.
//
// Values are JSON, but are passed as strings. So SQLite does not parse them or limit
// their depth, and returns their numbers unchanged. A clearing is a record with an empty
// key.
const merge = `
WITH session AS MATERIALIZED (
  SELECT newest, touched, max(had, ?8) AS cleared, CASE
    WHEN coalesce((SELECT value FROM records WHERE owner = ?1 AND session = ?2 AND key = 'lives'), '') <> ?11 THEN 1
    WHEN ?12 <> ?11 AND touched <> CAST(?14 AS INTEGER) THEN 1
    ELSE 0 END AS changed
  FROM (
    SELECT coalesce((SELECT stamp FROM records WHERE owner = ?1 AND session = ?2 AND key = '' AND made >= ?13), '') AS had,
      coalesce(max(stamp), '') AS newest, coalesce(max(CAST(value AS INTEGER)), 0) AS touched
    FROM records WHERE owner = ?1 AND session = ?2 AND key = 'newest'
  )
), batch (key, stamp, value, made) AS MATERIALIZED (
  SELECT j.value ->> 0, j.value ->> 1, j.value ->> 2, j.value ->> 3
  FROM session s CROSS JOIN json_each(?3) j WHERE j.value ->> 1 >= s.cleared
), won (key, stamp, value, made) AS MATERIALIZED (
  SELECT b.key, b.stamp, b.value, b.made
  FROM batch b
  LEFT JOIN records e ON e.owner = ?1 AND e.session = ?2 AND e.key = b.key
  WHERE e.key IS NULL OR
    (b.made >= ?13, b.stamp, b.value IS NULL, coalesce(b.value, '')) >
    (e.made >= ?13, e.stamp, e.value IS NULL, coalesce(e.value, ''))
), total (entries, bytes) AS MATERIALIZED (
  SELECT count(*), coalesce(sum(size), 0) FROM (
    SELECT octet_length(w.key) + coalesce(octet_length(w.value), 0) AS size
    FROM won w WHERE w.` + isEntry + ` AND w.made >= ?13
    UNION ALL
    SELECT octet_length(e.key) + coalesce(octet_length(e.value), 0) FROM session s CROSS JOIN records e
    WHERE e.owner = ?1 AND e.session = ?2 AND e.` + isEntry + ` AND e.stamp >= s.cleared AND e.made >= ?13
      AND e.key NOT IN (SELECT key FROM won)
  )
), changes (key, stamp, value, made) AS (
  SELECT key, stamp, value, made FROM won
  UNION ALL
  SELECT 'newest', max(?9, newest), CAST(max(CAST(?10 AS INTEGER), CASE
    WHEN touched > CAST(?15 AS INTEGER) + CAST(?16 AS INTEGER) THEN 0 ELSE touched END) AS TEXT), '' FROM session
  WHERE ?9 > newest OR CAST(?10 AS INTEGER) > touched OR touched > CAST(?15 AS INTEGER) + CAST(?16 AS INTEGER)
  UNION ALL
  SELECT 'lives', ?13, ?12, '' FROM session WHERE ?12 <> ?11 OR changed = 1
)
INSERT INTO records (owner, session, key, stamp, version, merged, made, value)
SELECT ?1, ?2, n.key, n.stamp, CASE
  WHEN s.epoch IS NULL OR c.changed = 1 THEN -3
  WHEN t.entries > CAST(?5 AS INTEGER) THEN -1
  WHEN t.bytes > CAST(?6 AS INTEGER) THEN -2
  ELSE 1 + ` + latest + ` END, ?7, n.made, n.value
FROM session c CROSS JOIN total t CROSS JOIN changes n
LEFT JOIN sessions s ON s.owner = ?1 AND s.name = ?2 AND s.epoch = ?4
WHERE true
ON CONFLICT (owner, session, key) DO UPDATE
SET stamp = excluded.stamp, value = excluded.value, version = excluded.version,
  merged = excluded.merged, made = excluded.made`

// dropCleared deletes the rows of entries that a clearing has removed.
const dropCleared = `
DELETE FROM records WHERE owner = ?1 AND session = ?2 AND ` + isEntry + ` AND stamp < ` + clearedStamp

// dropOver deletes records from before the last life, the oldest first, until ?3 entries
// and ?4 bytes are left.
const dropOver = `
DELETE FROM records WHERE rowid IN (
  SELECT over FROM (
    SELECT rowid AS over, count(*) OVER latest AS entries,
      sum(octet_length(key) + coalesce(octet_length(value), 0)) OVER latest AS bytes
    FROM records WHERE owner = ?1 AND session = ?2 AND ` + isEntry + ` AND made < ` + lifeBegan + `
    WINDOW latest AS (ORDER BY made DESC, key)
  ) WHERE entries > CAST(?3 AS INTEGER) OR bytes > CAST(?4 AS INTEGER))`

// readSince returns what was merged after version ?3 and is still there, in one snapshot
// with the session's standing. The standing is in a row of its own, which has no key,
// because the lives may be long.
const readSince = `
SELECT ` + standingColumns + `, NULL, NULL, NULL` + ofSession + `
UNION ALL
SELECT '', '', '', '', '', '', e.key, e.stamp, e.value
FROM sessions s
JOIN records e ON e.owner = ?1 AND e.session = ?2 AND e.version > CAST(?3 AS INTEGER)
  AND (e.key = 'newest' OR (e.key = '' OR e.` + isEntry + `) AND e.stamp >= ` + clearedStamp + ` AND e.made >= ` + lifeBegan + `)
WHERE s.owner = ?1 AND s.name = ?2`

// isOver is true if the session has a maximum age and is over at ?3, in milliseconds
// since 1970.
const isOver = `EXISTS (
  SELECT 1 FROM records l JOIN records n ON n.owner = ?1 AND n.session = ?2 AND n.key = 'newest'
  WHERE l.owner = ?1 AND l.session = ?2 AND l.key = 'lives'
    AND CAST(l.value ->> 'maxAge' AS INTEGER) BETWEEN 1 AND CAST(?3 AS INTEGER) - CAST(n.value AS INTEGER) - 1)`

const loadAll = `
SELECT key, value FROM records
WHERE owner = ?1 AND session = ?2 AND ` + isThere + ` AND value IS NOT NULL AND NOT ` + isOver

const loadOne = `
SELECT value FROM records
WHERE owner = ?1 AND session = ?2 AND key = ?4 AND ` + isThere + ` AND value IS NOT NULL AND NOT ` + isOver

// addOwner does nothing if ?5 owners were made since ?4. It does not count owners from
// the future, who were made while this clock was ahead.
const addOwner = `
INSERT INTO owners (owner, made, used)
SELECT ?1, ?2, ?3 WHERE (SELECT count(*) FROM owners WHERE made > ?4 AND made <= ?2) < CAST(?5 AS INTEGER)
ON CONFLICT DO NOTHING RETURNING owner`

const (
	findOwner = `SELECT used FROM owners WHERE owner = ?1`
	useOwner  = `UPDATE owners SET used = ?2 WHERE owner = ?1 AND used < ?2`
)

// addCode does nothing if the owner ?2 has ?6 codes that have not expired at ?5. It does
// not count a code that expires later than this one, which was made while this clock was
// ahead.
const addCode = `
INSERT INTO codes (code, owner, sealed, expires)
SELECT ?1, ?2, ?3, ?4
WHERE (SELECT count(*) FROM codes WHERE owner = ?2 AND expires > ?5 AND expires <= ?4) < CAST(?6 AS INTEGER)
RETURNING code`

// takeCode returns and deletes a code in one statement, so that it is good once. The
// code must expire after ?2 and not after ?3. A code that expires later was made while
// this clock was ahead.
const takeCode = `
DELETE FROM codes WHERE code = ?1 AND expires > ?2 AND expires <= ?3 RETURNING sealed`

// Prune works in slices, so that others have their turns in between. Each deletes some
// rows, or those of one session.
//
// Prune deletes a session's row before its records. A session that is used again in
// between has another epoch then, and at worst keeps what it had.
const (
	pruneCodes = `
DELETE FROM codes WHERE code IN (SELECT code FROM codes WHERE expires <= ?1 LIMIT 1000) RETURNING code`

	pruneSessions = `
DELETE FROM sessions WHERE (owner, name) IN (
  SELECT owner, name FROM sessions WHERE used < ?1 LIMIT 100) RETURNING owner`

	pruneOwners = `
DELETE FROM owners WHERE owner IN (
  SELECT o.owner FROM owners o WHERE o.used < ?1 AND NOT EXISTS (SELECT 1 FROM sessions s WHERE s.owner = o.owner) LIMIT 100
) RETURNING owner`
)

// nextSessions returns the next 1,000 sessions that have records, and which of them are
// gone or were once cleared. It takes one step for each session.
const nextSessions = `
WITH RECURSIVE walk (owner, session, n) AS (
  SELECT ?1, ?2, 0
  UNION ALL
  SELECT r.owner, r.session, w.n + 1 FROM walk w JOIN records r ON r.rowid = (
    SELECT rowid FROM records WHERE (owner, session) > (w.owner, w.session) ORDER BY owner, session LIMIT 1)
  WHERE w.n < 1000
)
SELECT w.owner, w.session, NOT EXISTS (SELECT 1 FROM sessions s WHERE s.owner = w.owner AND s.name = w.session),
  EXISTS (SELECT 1 FROM records c WHERE c.owner = w.owner AND c.session = w.session AND c.key = '')
FROM walk w WHERE w.n > 0 ORDER BY w.n`

// pruneOrphan deletes some records of a session that is gone.
const pruneOrphan = `
DELETE FROM records WHERE rowid IN (SELECT rowid FROM records WHERE owner = ?1 AND session = ?2 LIMIT 500)
  AND NOT EXISTS (SELECT 1 FROM sessions s WHERE s.owner = ?1 AND s.name = ?2) RETURNING rowid`

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
  SELECT count(*) > CAST(?5 AS INTEGER) OR coalesce(sum(octet_length(key) + coalesce(octet_length(value), 0)), 0) > CAST(?6 AS INTEGER)
  FROM records WHERE owner = ?1 AND session = ?2 AND ` + isEntry + ` AND made < ` + lifeBegan + `)`
)

// No version may ever be given again. So keepVersion has the session note the version
// that it reached, before records are deleted. pruneRemovals deletes removals that were
// merged before the date ?3. What is merged in between is of a later date.
const (
	// removals returns the next 1,000 removals and clearings.
	removals = `
SELECT owner, session, merged, CAST(rowid AS TEXT), key FROM records
WHERE value IS NULL AND merged < ?1 AND (merged, rowid) > (?2, CAST(?3 AS INTEGER)) ORDER BY merged, rowid LIMIT 1000`

	keepVersion = `
UPDATE sessions SET version = max(version, (
  SELECT max(e.version) FROM records e WHERE e.owner = ?1 AND e.session = ?2))
WHERE owner = ?1 AND name = ?2`

	pruneRemovals = `
DELETE FROM records WHERE owner = ?1 AND session = ?2 AND value IS NULL AND ` + isEntry + ` AND merged < ?3`
)
