package sqlstore

import _ "embed"

//go:embed restored.sql
var restored string

// sqliteDialect is that of SQLite and D1.
var sqliteDialect = &dialect{
	merge: `
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
  WHEN s.epoch IS NULL OR c.changed = 1 OR ?17 NOT IN ('', CAST(` + latest + ` AS TEXT)) THEN -3
  WHEN t.entries > CAST(?5 AS INTEGER) THEN -1
  WHEN t.bytes > CAST(?6 AS INTEGER) THEN -2
  ELSE 1 + ` + latest + ` END, ?7, n.made, n.value
FROM session c CROSS JOIN total t CROSS JOIN changes n
LEFT JOIN sessions s ON s.owner = ?1 AND s.name = ?2 AND s.epoch = ?4
WHERE true
ON CONFLICT (owner, session, key) DO UPDATE
SET stamp = excluded.stamp, value = excluded.value, version = excluded.version,
  merged = excluded.merged, made = excluded.made`,

	hasKey: `key = ?4`,

	nextSessions: `
WITH RECURSIVE walk (owner, session, n) AS (
  SELECT ?1, ?2, 0
  UNION ALL
  SELECT r.owner, r.session, w.n + 1 FROM walk w JOIN records r ON r.rowid = (
    SELECT rowid FROM records WHERE (owner, session) > (w.owner, w.session) ORDER BY owner, session LIMIT 1)
  WHERE w.n < 1000
)
SELECT w.owner, w.session, NOT EXISTS (SELECT 1 FROM sessions s WHERE s.owner = w.owner AND s.name = w.session),
  EXISTS (SELECT 1 FROM records c WHERE c.owner = w.owner AND c.session = w.session AND c.key = '')
FROM walk w WHERE w.n > 0 ORDER BY w.n`,

	pruneOrphan: `
DELETE FROM records WHERE rowid IN (SELECT rowid FROM records WHERE owner = ?1 AND session = ?2 LIMIT 500)
  AND NOT EXISTS (SELECT 1 FROM sessions s WHERE s.owner = ?1 AND s.name = ?2) RETURNING rowid`,

	removals: `
SELECT owner, session, merged, CAST(rowid AS TEXT), key FROM records
WHERE value IS NULL AND merged < ?1 AND (merged, rowid) > (?2, CAST(?3 AS INTEGER)) ORDER BY merged, rowid LIMIT 1000`,

	restored: restored,

	room: `
SELECT max_page_count - page_count + freelist_count, max_page_count
FROM pragma_max_page_count, pragma_page_count, pragma_freelist_count`,
}
