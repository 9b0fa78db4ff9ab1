package sqlwriter

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Prune deletes what now nobody can use any more: sessions that were not used
// for KeptFor, removals that came as long ago as that, what came then and is over
// since, owners who have no session and did not come for as long, and pairing
// codes that have expired. It is to be called from time to time, by one process or
// several. Others have their turns meanwhile.
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
	done, err := p.turn(p.ctx, "prune", "")
	for errors.Is(err, ErrBusy) { // which is no reason to leave it for an hour
		done, err = p.turn(p.ctx, "prune", "")
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

// orphans deletes the records of sessions that are gone.
func (p pruning) orphans() error {
	for last := (id{}); ; {
		var gone []id
		n := 0
		err := p.slice(func() error {
			return p.query(p.ctx, nextSessions, []any{last.owner, last.session}, func(row *sql.Rows) error {
				var isGone bool
				n++
				err := row.Scan(&last.owner, &last.session, &isGone)
				if isGone {
					gone = append(gone, last)
				}
				return err
			})
		})
		for _, of := range gone {
			if err == nil {
				err = p.all(pruneOrphan, of.owner, of.session)
			}
		}
		if err != nil || n == 0 {
			return err
		}
	}
}

// lives deletes what does not come back any more of sessions that were over.
func (p pruning) lives(before, now string) error {
	for last := (id{}); ; {
		var sessions []id
		err := p.slice(func() error {
			return p.query(p.ctx, agedSessions, []any{last.owner, last.session}, func(row *sql.Rows) error {
				err := row.Scan(&last.owner, &last.session)
				sessions = append(sessions, last)
				return err
			})
		})
		for _, of := range sessions {
			if err == nil {
				err = p.both(of, keepVersion, nil, pruneLives, []any{now, before})
			}
		}
		if err != nil || len(sessions) == 0 {
			return err
		}
	}
}

// removals forgets what was removed.
func (p pruning) removals(before string) error {
	for merged, row := "", "0"; ; {
		sessions := make(map[id]bool)
		n := 0
		err := p.slice(func() error {
			return p.query(p.ctx, removals, []any{before, merged, row}, func(rows *sql.Rows) error {
				var of id
				var key string
				n++
				err := rows.Scan(&of.owner, &of.session, &merged, &row, &key)
				if strings.HasPrefix(key, `"`) {
					sessions[of] = true
				}
				return err
			})
		})
		for of := range sessions {
			if err == nil {
				err = p.both(of, keepVersion, nil, pruneRemovals, []any{before})
			}
		}
		if err != nil || n == 0 {
			return err
		}
	}
}

// both has two statements about a session run, one after the other.
func (p pruning) both(of id, first string, firstMore []any, second string, secondMore []any) error {
	return p.slice(func() error {
		err := p.exec(p.ctx, first, append([]any{of.owner, of.session}, firstMore...)...)
		if err == nil {
			err = p.exec(p.ctx, second, append([]any{of.owner, of.session}, secondMore...)...)
		}
		return err
	})
}
