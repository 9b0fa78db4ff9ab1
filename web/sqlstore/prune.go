package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Prune deletes what nobody can use any more: pairing codes that have expired, and
// what is older than KeptFor. That is sessions that nobody used, removals, entries of
// sessions that are over since, and owners without a session who were not here. Call
// it from time to time, in one process or several. Other calls have their turns
// meanwhile.
func (d *DB) Prune(ctx context.Context, now time.Time) error {
	before := date(now.Add(-KeptFor))
	p := pruning{ctx, d}
	err := p.all(pruneCodes, timestamp(now))
	if err == nil {
		err = p.all(pruneSessions, before)
	}
	if err == nil {
		err = p.lives(before, strconv.FormatInt(now.UnixMilli(), 10))
	}
	if err == nil {
		err = p.removals(before)
	}
	if err == nil {
		err = p.all(pruneOwners, before)
	}
	if err == nil {
		err = p.orphans() // which takes longest
	}
	if err != nil {
		return fmt.Errorf("prune: %w", err)
	}
	return nil
}

// A pruning is one that is under way.
type pruning struct {
	ctx context.Context
	*DB
}

// slice does something in a turn of its own, and then leaves the database to
// others for as long.
func (p pruning) slice(do func() error) error {
	done, err := p.turn(p.ctx, "prune", 0)
	for errors.Is(err, ErrBusy) { // which is no reason to leave it for an hour
		done, err = p.turn(p.ctx, "prune", 0)
	}
	if err != nil {
		return err
	}
	began := time.Now()
	err = do()
	done()
	if err != nil {
		return err
	}
	select {
	case <-time.After(time.Since(began)):
		return nil
	case <-p.ctx.Done():
		return p.ctx.Err()
	}
}

// all repeats a statement until it returns no row.
func (p pruning) all(statement string, parameters ...any) error {
	for deleted := true; deleted; {
		err := p.slice(func() error {
			deleted = false
			return p.query(p.ctx, statement, parameters, func(*sql.Rows) error { deleted = true; return nil })
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// each does something about sessions of which the rows of a statement tell, page
// after page until one has none. next returns the parameters of a page, which
// follow from the last row; and scan whose session a row is of, and whether
// something is to be done about it.
func (p pruning) each(statement string, next func() []any, scan func(*sql.Rows) (id, bool, error), do func(id) error) error {
	for {
		sessions := make(map[id]bool)
		n := 0
		err := p.slice(func() error {
			return p.query(p.ctx, statement, next(), func(row *sql.Rows) error {
				n++
				of, wanted, err := scan(row)
				if wanted {
					sessions[of] = true
				}
				return err
			})
		})
		for of := range sessions {
			if err == nil {
				err = do(of)
			}
		}
		if err != nil || n == 0 {
			return err
		}
	}
}

// orphans deletes the records of sessions that are gone.
func (p pruning) orphans() error {
	var last id
	return p.each(nextSessions, last.parameters, func(row *sql.Rows) (id, bool, error) {
		var gone bool
		err := row.Scan(&last.owner, &last.session, &gone)
		return last, gone, err
	}, func(of id) error {
		return p.all(pruneOrphan, of.owner, of.session)
	})
}

// lives deletes what does not come back any more of sessions that were over.
func (p pruning) lives(before, now string) error {
	var last id
	return p.each(agedSessions, last.parameters, func(row *sql.Rows) (id, bool, error) {
		err := row.Scan(&last.owner, &last.session)
		return last, true, err
	}, func(of id) error {
		return p.keepVersion(of, pruneLives, now, before)
	})
}

// removals forgets what was removed.
func (p pruning) removals(before string) error {
	merged, row := "", "0"
	return p.each(removals, func() []any { return []any{before, merged, row} }, func(rows *sql.Rows) (id, bool, error) {
		var of id
		var key string
		err := rows.Scan(&of.owner, &of.session, &merged, &row, &key)
		return of, strings.HasPrefix(key, `"`), err
	}, func(of id) error {
		return p.keepVersion(of, pruneRemovals, before)
	})
}

// parameters are those of a statement that goes on after a session.
func (of *id) parameters() []any { return []any{of.owner, of.session} }

// keepVersion has a session note the version that it reached before a statement
// deletes what may have it.
func (p pruning) keepVersion(of id, statement string, more ...any) error {
	return p.slice(func() error {
		err := p.exec(p.ctx, keepVersion, of.owner, of.session)
		if err == nil {
			err = p.exec(p.ctx, statement, append(of.parameters(), more...)...)
		}
		return err
	})
}
