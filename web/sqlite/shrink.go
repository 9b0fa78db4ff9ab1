//go:build !js

package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// smallFile is the size of a file that is written anew without much ado.
const smallFile = 64 << 20

// slicePages is how many pages are given back at a time: for as long as that
// takes, others wait.
const slicePages = 256

// ErrFixed means that a file was made so that it cannot shrink, and is too large for
// Prepare to write it anew.
var ErrFixed = errors.New("the file cannot shrink")

// Prepare lets Shrink work on a file that an earlier version of this package made. It
// writes a small file anew. For a large one it returns an error that wraps ErrFixed
// and says what to do.
func Prepare(ctx context.Context, db *sql.DB) (err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	var mode, pages int64
	err = errors.Join(
		conn.QueryRowContext(ctx, `PRAGMA auto_vacuum`).Scan(&mode),
		conn.QueryRowContext(ctx, `PRAGMA page_count`).Scan(&pages))
	switch {
	case err != nil:
		return fmt.Errorf("prepare: %w", err)
	case mode != 0:
		return nil
	case pages*pageSize > smallFile:
		return fmt.Errorf("%w: while nothing uses it, run once: sqlite3 FILE 'PRAGMA auto_vacuum = INCREMENTAL; VACUUM'", ErrFixed)
	}
	for _, statement := range []string{`PRAGMA auto_vacuum = INCREMENTAL`, `VACUUM`} {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("prepare: %w", err)
		}
	}
	return nil
}

// Shrink gives the room of deleted rows back to the file system. It works in slices,
// between which others have their turn. It also empties the log, in which deleted text
// could still be read. Call it after much was deleted.
func Shrink(ctx context.Context, db *sql.DB) error {
	for left := int64(-1); ; {
		var free int64
		if err := db.QueryRowContext(ctx, `PRAGMA freelist_count`).Scan(&free); err != nil {
			return fmt.Errorf("shrink: %w", err)
		}
		if free == 0 || free == left {
			break
		}
		left = free
		began := time.Now()
		if _, err := db.ExecContext(ctx, fmt.Sprintf(`PRAGMA incremental_vacuum(%d)`, slicePages)); err != nil {
			return fmt.Errorf("shrink: %w", err)
		}
		select {
		case <-time.After(time.Since(began)):
		case <-ctx.Done():
			return fmt.Errorf("shrink: %w", ctx.Err())
		}
	}
	if _, err := db.ExecContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`); err != nil {
		return fmt.Errorf("shrink: %w", err)
	}
	return nil
}
