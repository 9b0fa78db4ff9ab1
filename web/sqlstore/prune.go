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

// Prune deletes what nobody can use any more: pairing codes that have expired, owners and
// their devices who have no session and did not come for a week, what a killed process has
// left, and what is older than KeptFor. That is sessions that nobody used, devices that did
// not come, removals, and entries
// of sessions that are over since. Call it from time to time, in one process or
// several. Other calls have their turns meanwhile. Where there is nothing to delete,
// Prune writes nothing.
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
		err = p.all(pruneDevices, date(now.Add(-KeptFor)), date(now.Add(-keptEmpty)))
	}
	if err == nil {
		err = p.all(pruneOwners, date(now.Add(-keptEmpty)), before)
	}
	if err == nil {
		err = p.rest() // which takes longest
	}
	if err != nil {
		return fmt.Errorf("prune: %w", err)
	}
	d.counts.prunedAt(d.now())
	return nil
}

// InTurn calls do in a turn of its own, on SQLite while no other call uses the database,
// and then leaves the database to others for as long as do took. It is for work that
// nobody waits for, such as to shrink the file. do should take some milliseconds at most,
// and must not call this DB's methods. InTurn waits for its turn as long as need be. The
// error is that of ctx or do.
func (d *DB) InTurn(ctx context.Context, do func() error) error {
	var done func()
	for done == nil {
		var err error
		done, err = d.turn(ctx, "prune", 0)
		if errors.Is(err, ErrBusy) {
			err = pause(ctx, turnAgain) // not until the next call of Prune
		}
		if err != nil {
			return err
		}
	}
	began := time.Now()
	err := do()
	done()
	if err != nil {
		return err
	}
	return pause(ctx, time.Since(began))
}

// turnAgain is how long InTurn waits after it was refused a turn.
const turnAgain = time.Second

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// keptEmpty is how long an owner without a session is kept. Whoever asks becomes an
// owner, and a program that asks without end never saves anything.
const keptEmpty = 7 * 24 * time.Hour

// A pruning is one call of Prune.
type pruning struct {
	ctx context.Context
	*DB
}

// slice calls do in a turn of its own.
func (p pruning) slice(do func() error) error { return p.InTurn(p.ctx, do) }

// all repeats a statement until it returns no row.
func (p pruning) all(statement string, parameters ...any) error {
	return p.repeat(func() (deleted bool, err error) {
		// Another process may prune, too, in another order.
		err = p.again(p.ctx, func() error { return p.returns(p.ctx, statement, parameters, &deleted) })
		return deleted, err
	})
}

// orphan deletes the records of a session that is gone.
func (p pruning) orphan(of id) error {
	return p.repeat(func() (bool, error) { return p.dropOrphan(p.ctx, of) })
}

// dropOrphan deletes some records of a session that is gone, if there are any.
func (d *DB) dropOrphan(ctx context.Context, of id) (deleted bool, err error) {
	err = d.holding(ctx, d.dialect.holdPlace, of.parameters(), func(ctx context.Context) error {
		return d.returns(ctx, d.dialect.pruneOrphan, of.parameters(), &deleted)
	})
	if errors.Is(err, errGone) { // the place is: the session was begun anew
		return false, nil
	}
	return deleted, err
}

// returns reports whether a statement returns rows.
func (d *DB) returns(ctx context.Context, statement string, parameters []any, rows *bool) error {
	*rows = false
	return d.query(ctx, statement, parameters, func(*sql.Rows) error { *rows = true; return nil })
}

// repeat calls do in turns of their own until it has deleted nothing.
func (p pruning) repeat(do func() (deleted bool, err error)) error {
	for deleted := true; deleted; {
		err := p.slice(func() (err error) {
			deleted, err = do()
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// each calls do for sessions that the rows of a statement name. It reads page after page
// until one has no rows. next returns the parameters of the next page, which follow from
// the last row. scan returns the session of a row, and whether do is to be called for
// it.
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

// rest deletes the records of sessions that are gone, and records that a merged clearing
// has left.
func (p pruning) rest() error {
	var last id
	var gone, cleared bool
	orphans := make(map[id]bool) // of one page
	return p.each(p.dialect.nextSessions, last.parameters, func(row *sql.Rows) (id, bool, error) {
		err := row.Scan(&last.owner, &last.session, &gone, &cleared)
		if gone {
			orphans[last] = true
		}
		return last, gone || cleared, err
	}, func(of id) error {
		if orphans[of] {
			delete(orphans, of)
			return p.orphan(of)
		}
		return p.slice(func() error {
			var left bool
			err := p.queryRow(p.ctx, hasCleared, of.parameters(), &left)
			if err == nil && left {
				err = p.in(of, func(ctx context.Context) error { return p.exec(ctx, dropCleared, of.owner, of.session) })
			}
			return err
		})
	})
}

// lives deletes what was saved before the last life of a session, if it cannot come back
// any more or exceeds the limits.
func (p pruning) lives(before, now string) error {
	var last id
	entries, bytes := strconv.Itoa(p.limits.Entries), strconv.Itoa(p.limits.Bytes)
	return p.each(agedSessions, last.parameters, func(row *sql.Rows) (id, bool, error) {
		err := row.Scan(&last.owner, &last.session)
		return last, true, err
	}, func(of id) error {
		return p.slice(func() error {
			var past, over bool
			err := p.queryRow(p.ctx, hasPastLives, append(of.parameters(), now, before, entries, bytes), &past, &over)
			if err == nil && past {
				err = p.keepVersion(of, pruneLives, now, before)
			}
			if err == nil && over {
				err = p.keepVersion(of, dropOver, entries, bytes)
			}
			return err
		})
	})
}

// removals deletes the records of old removals.
func (p pruning) removals(before string) error {
	merged, row := "", "0"
	return p.each(p.dialect.removals, func() []any { return []any{before, merged, row} }, func(rows *sql.Rows) (id, bool, error) {
		var of id
		var key string
		err := rows.Scan(&of.owner, &of.session, &merged, &row, &key)
		return of, strings.HasPrefix(key, `"`), err
	}, func(of id) error {
		return p.slice(func() error { return p.keepVersion(of, pruneRemovals, before) })
	})
}

// parameters returns the parameters of a statement about a session.
func (of *id) parameters() []any { return []any{of.owner, of.session} }

// keepVersion runs a statement that deletes records. First it has the session note the
// version that it reached, because the records with that version may go.
func (p pruning) keepVersion(of id, statement string, more ...any) error {
	return p.in(of, func(ctx context.Context) error {
		err := p.exec(ctx, keepVersion, of.owner, of.session)
		if err == nil {
			err = p.exec(ctx, statement, append(of.parameters(), more...)...)
		}
		return err
	})
}

// in deletes records of a session, unless the session was deleted meanwhile.
func (p pruning) in(of id, do func(ctx context.Context) error) error {
	err := p.holdingSession(p.ctx, of, do)
	if errors.Is(err, errGone) {
		err = nil
	}
	return err
}
