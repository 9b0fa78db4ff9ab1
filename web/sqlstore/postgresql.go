//go:build !js

package sqlstore

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
)

// NewPostgreSQL returns the DB on db, which is PostgreSQL 15 or later, in UTF-8, by any
// driver. Create must have made its tables at some time. As many calls use the database
// at once as db may have connections: set that first, as package web/postgresql does.
//
// All that New's DB does this one does, too, and any number of processes on any number of
// machines may use one database, if all write to its primary. Limits hold for all of
// them together, except for Waiting, which each has for itself. A call that changes a
// session waits for others that change it. One that reads waits for nobody.
//
// A call that the database gives up for the sake of others is tried again. If that is of
// no use, the error wraps ErrBusy, as it does when the database has no connection left or
// waited too long for a lock. While there is no server, calls return the driver's errors.
// No call tells of a full disk before the disk is full.
func NewPostgreSQL(db *sql.DB, limits Limits) *DB { return newDB(db, limits, postgresqlDialect) }

// keyHash is what the index records_key has of a key.
const keyHash = `sha256(CAST(replace(key, '\', '\\') AS BYTEA))`

// postgresqlDialect is that of PostgreSQL.
//
// Its statements see what was there when they began, and what others commit during them
// only in rows that they change themselves. So a merge whose session is not held would
// give versions that others give, too, and readers would miss what has a version that
// they have seen already. While it is held, versions become visible in their order:
// COMMIT makes a merge visible before the next one goes on.
var postgresqlDialect = &dialect{
	// It returns the version that it gives, or refuses by one that is negative. To break a
	// constraint would put values into PostgreSQL's log. The texts of JSON sort by the
	// database's locale, unless they are told.
	merge: `
WITH session AS MATERIALIZED (
  SELECT newest, touched, greatest(had, $8) AS cleared, CASE
    WHEN coalesce((SELECT value FROM records WHERE owner = $1 AND session = $2 AND key = 'lives'), '') <> $11 THEN 1
    WHEN $12 <> $11 AND touched <> CAST($14 AS BIGINT) THEN 1
    ELSE 0 END AS changed
  FROM (
    SELECT coalesce((SELECT stamp FROM records WHERE owner = $1 AND session = $2 AND key = '' AND made >= $13), '') AS had,
      coalesce(max(stamp), '') AS newest, coalesce(max(CAST(value AS BIGINT)), 0) AS touched
    FROM records WHERE owner = $1 AND session = $2 AND key = 'newest'
  ) marks
), sent (key, stamp, value, made) AS MATERIALIZED (
  SELECT (j.value ->> 0) COLLATE "C", (j.value ->> 1) COLLATE "C", (j.value ->> 2) COLLATE "C", (j.value ->> 3) COLLATE "C"
  FROM json_array_elements(CAST(CAST($3 AS TEXT) AS JSON)) j
), batch (key, stamp, value, made, hash) AS MATERIALIZED (
  SELECT b.key, b.stamp, b.value, b.made, ` + keyHash + `
  FROM session s CROSS JOIN sent b WHERE b.stamp >= s.cleared
), won (key, stamp, value, made) AS MATERIALIZED (
  SELECT b.key, b.stamp, b.value, b.made
  FROM batch b
  LEFT JOIN (SELECT key, stamp, value, made, ` + keyHash + ` AS hash FROM records WHERE owner = $1 AND session = $2) e
    ON e.hash = b.hash
  WHERE e.key IS NULL OR
    (b.made >= $13, b.stamp, b.value IS NULL, coalesce(b.value, '')) >
    (e.made >= $13, e.stamp, e.value IS NULL, coalesce(e.value, ''))
), total (entries, bytes) AS MATERIALIZED (
  SELECT count(*), coalesce(sum(size), 0) FROM (
    SELECT octet_length(w.key) + coalesce(octet_length(w.value), 0) AS size
    FROM won w WHERE w.` + isEntry + ` AND w.made >= $13
    UNION ALL
    SELECT octet_length(e.key) + coalesce(octet_length(e.value), 0) FROM session s CROSS JOIN records e
    WHERE e.owner = $1 AND e.session = $2 AND e.` + isEntry + ` AND e.stamp >= s.cleared AND e.made >= $13
      AND e.key NOT IN (SELECT key FROM won)
  ) sizes
), changes (key, stamp, value, made) AS (
  SELECT key, stamp, value, made FROM won
  UNION ALL
  SELECT 'newest', greatest($9, newest), CAST(greatest(CAST($10 AS BIGINT), CASE
    WHEN touched > CAST($15 AS BIGINT) + CAST($16 AS BIGINT) THEN 0 ELSE touched END) AS TEXT), '' FROM session
  WHERE $9 > newest OR CAST($10 AS BIGINT) > touched OR touched > CAST($15 AS BIGINT) + CAST($16 AS BIGINT)
  UNION ALL
  SELECT 'lives', $13, $12, '' FROM session WHERE $12 <> $11 OR changed = 1
), given (version) AS MATERIALIZED (
  SELECT CASE
    WHEN NOT EXISTS (SELECT 1 FROM changes) THEN 0
    WHEN s.epoch IS NULL OR c.changed = 1 OR $17 NOT IN ('', CAST(` + latest + ` AS TEXT)) THEN -3
    WHEN t.entries > CAST($5 AS BIGINT) THEN -1
    WHEN t.bytes > CAST($6 AS BIGINT) THEN -2
    ELSE 1 + ` + latest + ` END
  FROM session c CROSS JOIN total t
  LEFT JOIN sessions s ON s.owner = $1 AND s.name = $2 AND s.epoch = $4
), merged AS (
  INSERT INTO records (owner, session, key, stamp, version, merged, made, value)
  SELECT $1, $2, n.key, n.stamp, g.version, $7, n.made, n.value
  FROM given g CROSS JOIN changes n WHERE g.version > 0
  ON CONFLICT (owner, session, ` + keyHash + `) DO UPDATE
  SET stamp = excluded.stamp, value = excluded.value, version = excluded.version,
    merged = excluded.merged, made = excluded.made
)
SELECT version FROM given`,

	hasKey: keyHash + ` = sha256(CAST(replace($4, '\', '\\') AS BYTEA))`,

	nextSessions: `
WITH RECURSIVE walk (owner, session, n) AS (
  SELECT CAST($1 AS TEXT) COLLATE "C", CAST($2 AS TEXT) COLLATE "C", 0
  UNION ALL
  SELECT r.owner, r.session, w.n + 1 FROM walk w CROSS JOIN LATERAL (
    SELECT owner, session FROM records WHERE (owner, session) > (w.owner, w.session) ORDER BY owner, session LIMIT 1) r
  WHERE w.n < 1000
)
SELECT w.owner, w.session, NOT EXISTS (SELECT 1 FROM sessions s WHERE s.owner = w.owner AND s.name = w.session),
  EXISTS (SELECT 1 FROM records c WHERE c.owner = w.owner AND c.session = w.session AND c.key = '')
FROM walk w WHERE w.n > 0 ORDER BY w.n`,

	// It frees the place that holdPlace holds.
	pruneOrphan: `
WITH place AS (DELETE FROM sessions WHERE owner = $1 AND name = $2 AND epoch = '')
DELETE FROM records WHERE owner = $1 AND session = $2
  AND key IN (SELECT key FROM records WHERE owner = $1 AND session = $2 LIMIT 500) RETURNING key`,

	// The owners are of one length, so that the place sorts as both do.
	removals: `
SELECT DISTINCT owner, session, merged, owner || session, '"' FROM records
WHERE value IS NULL AND ` + isEntry + ` AND merged < $1 AND (merged, owner || session) > ($2, $3)
ORDER BY merged, owner || session LIMIT 1000`,

	restored: `UPDATE sessions SET epoch = left(replace(CAST(gen_random_uuid() AS TEXT), '-', ''), 16)`,

	concurrent:  true,
	holdSession: `SELECT epoch FROM sessions WHERE owner = $1 AND name = $2 FOR UPDATE`,
	holdPlace: `
INSERT INTO sessions (owner, name, epoch, version, used) VALUES ($1, $2, '', 0, '')
ON CONFLICT DO NOTHING RETURNING epoch`,
	holdCount: `SELECT '' FROM pg_advisory_xact_lock(hashtextextended('session-writer ' || $1, 0))`,

	create: createPostgreSQL,
	// An index takes 2,700 bytes.
	longestName: 2100,
}

//go:embed schema/postgresql
var postgresqlSchema embed.FS

// postgresqlVersion is the version of the schema that this package needs. The file of
// each number makes the schema that of its version, from that of the version before.
const postgresqlVersion = 2

// createPostgreSQL migrates in one transaction, which others wait for.
func createPostgreSQL(ctx context.Context, db *sql.DB) (err error) {
	tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // without effect after Commit
	for _, statement := range []string{
		`SET LOCAL lock_timeout = 0`, // another process may be migrating, which takes long
		`SELECT pg_advisory_xact_lock(hashtextextended('session-writer schema', 0))`,
	} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	var encoding string
	var version int
	var there bool
	err = tx.QueryRowContext(ctx, `SELECT current_setting('server_encoding'), to_regclass('schema_versions') IS NOT NULL`).Scan(&encoding, &there)
	if err == nil && there {
		err = tx.QueryRowContext(ctx, `SELECT max(version) FROM schema_versions`).Scan(&version)
	}
	switch {
	case err != nil:
		return err
	case encoding != "UTF8":
		return fmt.Errorf("the database's encoding is %s, and must be UTF8", encoding)
	case version > postgresqlVersion:
		return ErrLaterVersion
	}
	for version < postgresqlVersion {
		version++
		file := fmt.Sprintf("schema/postgresql/%d.sql", version)
		for _, statement := range statements(postgresqlSchema, file) {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
		}
	}
	return tx.Commit()
}
