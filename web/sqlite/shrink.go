//go:build !js

package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
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

// ErrInUse means that something else reads or writes the file for so long that
// Shrink would have had everybody wait for it. It may be tried again.
var ErrInUse = errors.New("something else uses the file, and what was removed may still be read in its log")

// shrinkTimeout is how long Shrink waits for other processes, and everybody for
// Shrink.
const shrinkTimeout = 100 * time.Millisecond

// Shrink gives the room of deleted rows back to the file system. It also empties the
// log, in which deleted text could still be read. Call it after much was deleted.
//
// It works in slices. inTurn does each of them, may wait before and afterwards, and
// passes on its error (see sqlstore.DB.InTurn). When inTurn is nil, others have as
// much time between two slices as a slice takes. The error wraps ErrInUse when the
// file or the log stays larger than need be.
func Shrink(ctx context.Context, db *sql.DB, inTurn func(ctx context.Context, do func() error) error) error {
	if inTurn == nil {
		inTurn = spaced
	}
	for left, more := int64(-1), true; more; {
		err := inTurn(ctx, func() error {
			return hurried(ctx, db, func(conn *sql.Conn) error {
				var free int64
				if err := conn.QueryRowContext(ctx, `PRAGMA freelist_count`).Scan(&free); err != nil {
					return err
				}
				more = free != 0 && free != left
				if !more {
					return emptyLog(ctx, conn)
				}
				left = free
				_, err := conn.ExecContext(ctx, fmt.Sprintf(`PRAGMA incremental_vacuum(%d)`, slicePages))
				return err
			})
		})
		if refused, ok := errors.AsType[*sqlite.Error](err); ok && refused.Code()&0xff == sqlite3.SQLITE_BUSY {
			err = ErrInUse
		}
		if err != nil {
			return fmt.Errorf("shrink: %w", err)
		}
	}
	return nil
}

// emptyLog moves what the log has into the file, and makes it an empty one. That it
// could not is no error of SQLite's, but in what the pragma returns.
func emptyLog(ctx context.Context, conn *sql.Conn) error {
	var busy, frames, moved int64
	err := conn.QueryRowContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &frames, &moved)
	if err == nil && busy != 0 {
		err = ErrInUse
	}
	return err
}

// hurried does something on a connection that waits for other processes no longer
// than shrinkTimeout.
func hurried(ctx context.Context, db *sql.DB, do func(conn *sql.Conn) error) (err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	var had int64
	if err := conn.QueryRowContext(ctx, `PRAGMA busy_timeout`).Scan(&had); err != nil {
		return err
	}
	if _, err := conn.ExecContext(ctx, `PRAGMA `+waitFor(shrinkTimeout)); err != nil {
		return err
	}
	defer func() {
		_, back := conn.ExecContext(context.WithoutCancel(ctx), `PRAGMA `+waitFor(time.Duration(had)*time.Millisecond))
		err = errors.Join(err, back)
	}()
	return do(conn)
}

// spaced does something, and then leaves the database to others for as long.
func spaced(ctx context.Context, do func() error) error {
	began := time.Now()
	if err := do(); err != nil {
		return err
	}
	select {
	case <-time.After(time.Since(began)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
