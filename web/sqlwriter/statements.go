package sqlwriter

// The parameters of all statements are texts: D1's driver rounds integers. ?1
// is the owner and ?2 the session, as they are stored.

// isEntry tells the rows of entries and their removals from others: their keys
// begin with a quote.
const isEntry = `key BETWEEN '"' AND '#'`

// clearedStamp is the stamp of the last clearing: what is older is not there
// for anybody, though its row may be.
const clearedStamp = `coalesce((SELECT stamp FROM records WHERE owner = ?1 AND session = ?2 AND key = ''), '')`

// latest is the greatest version of the session s.
const latest = `max(s.version, coalesce((SELECT max(version) FROM records WHERE owner = ?1 AND session = ?2), 0))`

const findSession = `
SELECT s.epoch, s.used, CAST(` + latest + ` AS TEXT),
  coalesce(n.stamp, ''), coalesce(n.value, '')
FROM sessions s
LEFT JOIN records n ON n.owner = ?1 AND n.session = ?2 AND n.key = 'newest'
WHERE s.owner = ?1 AND s.name = ?2`

// addSession does nothing when the owner has ?5 sessions.
const addSession = `
INSERT INTO sessions (owner, name, epoch, version, used)
SELECT ?1, ?2, ?3, 0, ?4
WHERE (SELECT count(*) FROM sessions WHERE owner = ?1) < CAST(?5 AS INTEGER)
ON CONFLICT (owner, name) DO NOTHING`

const useSession = `
UPDATE sessions SET used = ?3 WHERE owner = ?1 AND name = ?2 AND used < ?3`

// merge merges the records in ?3, an array of arrays of strings: key, stamp and
// value. It does all or nothing: one that would break a limit, or finds that the
// session of the epoch ?4 is gone, breaks a constraint of the schema. ?7 is
// today, ?8 the stamp of a clearing or empty, ?9 the newest stamp of the batch,
// and ?10 when it was saved.
//
// With ?11, the session is found over by a batch stamped ?13, and cleared at
// ?12, unless something later than ?11 is there. What it had since the clearing
// before stays, so that it can come back.
//
// It comes back when that end was wrong, which a batch can show. Who sends it had
// not heard of the end at his version, ?15. He saved after what the end had seen.
// And for him the session was alive up to ?14, the first 13 digits of a stamp,
// which is not before it was found over; ?14 is empty if he did not have the
// session. What was made before the end, and since the clearing before that, is
// then as if made at the end. Of two of these, when they were made still tells
// which wins.
//
// He may have found it over himself. If that was what ?12 would clear, and so more
// than what the end had seen, it was alive up to ?19, and what he saved within ?20
// milliseconds tells that it was not over before, already. If what the end had
// seen is before ?16, likewise digits, it was over when ?13 began it anew: then ?17
// and ?18 stand for ?9 and ?14, of what he had saved before that.
//
// Values are strings, though they are JSON, so that SQLite neither parses them
// nor limits their depth, and hands their numbers back as they were.
const merge = `
WITH session AS MATERIALIZED (
  SELECT had, newest, touched, over, wrong, max(had, ?8) AS clearing, max(had, ?8, over) AS cleared,
    max(before, ?8) AS kept
  FROM (
    SELECT had, newest, touched,
      CASE WHEN ?11 <> '' AND newest <= ?11 THEN ?12 ELSE '' END AS over,
      coalesce(e.stamp, '') AS wrong,
      coalesce(substr(e.value, instr(e.value, ' ') + 1), had) AS before
    FROM (
      SELECT ` + clearedStamp + ` AS had, coalesce(max(stamp), '') AS newest, coalesce(max(CAST(value AS INTEGER)), 0) AS touched
      FROM records WHERE owner = ?1 AND session = ?2 AND key = 'newest'
    )
    LEFT JOIN records e ON e.owner = ?1 AND e.session = ?2 AND e.key = 'ended' AND e.version > CAST(?15 AS INTEGER)
      AND e.stamp = had
      AND CASE WHEN ?12 >= e.stamp THEN ?12 > e.stamp AND substr(e.value, 1, 13) <= ?19 AND EXISTS (
          SELECT 1 FROM json_each(?3) j WHERE j.value ->> 1 >= e.stamp
            AND CAST(substr(j.value ->> 1, 1, 13) AS INTEGER) - CAST(substr(e.stamp, 1, 13) AS INTEGER) <= CAST(?20 AS INTEGER))
        WHEN ?13 > e.stamp AND substr(e.stamp, 1, 13) < ?16
        THEN e.stamp <= ?17 AND substr(e.value, 1, 13) <= ?18
        ELSE e.stamp <= ?9 AND substr(e.value, 1, 13) <= ?14 END
  )
), batch (key, stamp, made, value) AS MATERIALIZED (
  SELECT j.value ->> 0, max(j.value ->> 1, s.wrong), j.value ->> 1, j.value ->> 2
  FROM session s CROSS JOIN json_each(?3) j WHERE j.value ->> 1 >= s.kept
), fresh (key, stamp, value) AS MATERIALIZED (
  SELECT b.key, b.stamp, b.value
  FROM batch b
  LEFT JOIN records e ON e.owner = ?1 AND e.session = ?2 AND e.key = b.key
  WHERE e.key IS NULL OR
    (b.made, b.value IS NULL, coalesce(b.value, '')) > (e.stamp, e.value IS NULL, coalesce(e.value, ''))
), won (key, stamp, value) AS MATERIALIZED (
  SELECT key, stamp, value FROM fresh
  UNION ALL
  SELECT e.key, s.wrong, e.value
  FROM session s CROSS JOIN records e
  WHERE s.wrong <> '' AND e.owner = ?1 AND e.session = ?2 AND e.` + isEntry + ` AND e.value IS NOT NULL
    AND e.stamp < s.wrong AND e.stamp >= s.kept AND e.key NOT IN (SELECT key FROM fresh)
), total (entries, bytes) AS MATERIALIZED (
  SELECT count(*), coalesce(sum(size), 0) FROM (
    SELECT octet_length(w.key) + coalesce(octet_length(w.value), 0) AS size
    FROM session s CROSS JOIN won w WHERE w.stamp >= s.cleared
    UNION ALL
    SELECT octet_length(e.key) + coalesce(octet_length(e.value), 0) FROM session s CROSS JOIN records e
    WHERE e.owner = ?1 AND e.session = ?2 AND e.` + isEntry + ` AND e.stamp >= s.cleared
      AND e.key NOT IN (SELECT key FROM won)
  )
), changed (key, stamp, value) AS (
  SELECT key, stamp, value FROM won
  UNION ALL
  SELECT '', cleared, NULL FROM session WHERE cleared > had
  UNION ALL
  SELECT 'newest', max(?9, over, newest), CAST(max(touched, CAST(?10 AS INTEGER)) AS TEXT) FROM session
  WHERE max(?9, over) > newest OR CAST(?10 AS INTEGER) > touched
  UNION ALL
  SELECT 'ended', max(over, wrong), CASE WHEN over <> '' THEN ?13 || ' ' || clearing END FROM session WHERE over <> '' OR wrong <> ''
)
INSERT INTO records (owner, session, key, stamp, version, merged, value)
SELECT ?1, ?2, n.key, n.stamp, CASE
  WHEN t.entries > CAST(?5 AS INTEGER) THEN -1
  WHEN t.bytes > CAST(?6 AS INTEGER) THEN -2
  WHEN s.epoch IS NULL THEN -3
  ELSE 1 + ` + latest + ` END, ?7, n.value
FROM total t CROSS JOIN changed n
LEFT JOIN sessions s ON s.owner = ?1 AND s.name = ?2 AND s.epoch = ?4
WHERE true
ON CONFLICT (owner, session, key) DO UPDATE
SET stamp = excluded.stamp, value = excluded.value, version = excluded.version, merged = excluded.merged`

// dropCleared deletes what no statement counts any more, nor can come back.
const dropCleared = `
DELETE FROM records WHERE owner = ?1 AND session = ?2 AND ` + isEntry + ` AND stamp < coalesce((
  SELECT substr(value, instr(value, ' ') + 1) FROM records
  WHERE owner = ?1 AND session = ?2 AND key = 'ended' AND value IS NOT NULL AND stamp = ` + clearedStamp + `
), ` + clearedStamp + `)`

// readSince returns what was merged after version ?3, in one snapshot with the
// epoch, the version that it leads to and when somebody last saved: a row
// without a key when there is nothing.
const readSince = `
SELECT s.epoch, CAST(` + latest + ` AS TEXT), coalesce(n.stamp, ''), coalesce(n.value, ''), e.key, e.stamp, e.value
FROM sessions s
LEFT JOIN records n ON n.owner = ?1 AND n.session = ?2 AND n.key = 'newest'
LEFT JOIN records e ON e.owner = ?1 AND e.session = ?2 AND e.version > CAST(?3 AS INTEGER)
  AND e.key <> 'ended' AND (e.key IN ('', 'newest') OR e.stamp >= ` + clearedStamp + `)
WHERE s.owner = ?1 AND s.name = ?2`

const loadAll = `
SELECT key, value FROM records
WHERE owner = ?1 AND session = ?2 AND ` + isEntry + ` AND value IS NOT NULL AND stamp >= ` + clearedStamp

const loadOne = `
SELECT value FROM records
WHERE owner = ?1 AND session = ?2 AND key = ?3 AND value IS NOT NULL AND stamp >= ` + clearedStamp

const addPairing = `
INSERT INTO pairings (code, sealed, expires) VALUES (?1, ?2, ?3)`

// takePairing returns and deletes a pairing in one, so that a code counts once.
const takePairing = `
DELETE FROM pairings WHERE code = ?1 AND expires > ?2 RETURNING sealed`

// Prune deletes a session's row before its records: a session that is used
// again in between has another epoch then, and at worst keeps what it had.
const (
	prunePairings = `DELETE FROM pairings WHERE expires <= ?1`
	pruneSessions = `DELETE FROM sessions WHERE used < ?1`
	pruneOrphans  = `
DELETE FROM records WHERE NOT EXISTS (
  SELECT 1 FROM sessions s WHERE s.owner = records.owner AND s.name = records.session)`
)

// What was cleared before the date ?1, because a session was over, does not
// come back any more. All of it has versions up to that of its clearing.
const (
	pruneEnded = `
DELETE FROM records WHERE ` + isEntry + ` AND (owner, session) IN (
  SELECT owner, session FROM records WHERE key = 'ended' AND merged < ?1 AND value IS NOT NULL
) AND stamp < (
  SELECT e.stamp FROM records e WHERE e.owner = records.owner AND e.session = records.session AND e.key = 'ended')`

	forgetEnded = `
UPDATE records SET value = NULL WHERE key = 'ended' AND merged < ?1 AND value IS NOT NULL`
)

// Before removals are deleted, those merged before the date ?1, their sessions
// note the version that they reached: none must ever be given again. What is
// merged in between is of a later date.
const (
	keepVersions = `
UPDATE sessions SET version = max(version, (
  SELECT max(e.version) FROM records e WHERE e.owner = sessions.owner AND e.session = sessions.name))
WHERE (owner, name) IN (
  SELECT owner, session FROM records WHERE value IS NULL AND ` + isEntry + ` AND merged < ?1)`

	pruneRemovals = `
DELETE FROM records WHERE value IS NULL AND ` + isEntry + ` AND merged < ?1`
)
