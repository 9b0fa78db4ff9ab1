package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/session-interop/session-writer"
)

// AddOwner notes a new owner's id, for HasOwner. Owners whom the program knows in
// another way need not be added. The error wraps ErrBusy if Limits.Owners were added in
// the last minute.
func (d *DB) AddOwner(ctx context.Context, owner string) error {
	done, err := d.turn(ctx, newcomers, 0)
	if err != nil {
		return fmt.Errorf("add an owner: %w", err)
	}
	defer done()
	if err := d.hasRoom(ctx, len(owner)); err != nil {
		return fmt.Errorf("add an owner: %w", err)
	}
	now := d.now()
	var added string
	err = d.counting(ctx, "owners", func(ctx context.Context) error {
		return d.queryRow(ctx, addOwner, []any{
			digest(owner), timestamp(now), date(now), timestamp(now.Add(-time.Minute)), strconv.Itoa(d.limits.Owners),
		}, &added)
	})
	if errors.Is(err, sql.ErrNoRows) {
		err = fmt.Errorf("%w: somebody new can have a session in %d cases a minute", ErrBusy, d.limits.Owners)
	}
	if err != nil {
		return fmt.Errorf("add an owner: %w", d.describe(err))
	}
	d.counts.owners.Add(1)
	return nil
}

// newcomers take their turns as one owner.
const newcomers = ""

// An owners remembers the owners found in the database today, so that not each of their
// requests asks it.
type owners struct {
	mu    sync.Mutex
	today string
	found map[string]bool
}

// manyOwners is how many owners are remembered.
const manyOwners = 10_000

func (o *owners) has(owner, today string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.today == today && o.found[owner]
}

func (o *owners) add(owner, today string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.today != today || len(o.found) >= manyOwners {
		o.today, o.found = today, make(map[string]bool)
	}
	o.found[owner] = true
}

// HasOwner reports whether AddOwner added an owner, and notes that he was here.
func (d *DB) HasOwner(ctx context.Context, owner string) (bool, error) {
	of, today := digest(owner), date(d.now())
	if d.owners.has(of, today) {
		return true, nil
	}
	done, err := d.turn(ctx, newcomers, 0)
	if err != nil {
		return false, fmt.Errorf("find an owner: %w", err)
	}
	defer done()
	var used string
	err = d.queryRow(ctx, findOwner, []any{of}, &used)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err == nil && used < today {
		err = d.describe(d.exec(ctx, useOwner, of, today))
		if errors.Is(err, session.ErrFull) {
			err = nil // he may be here to make room, and his next use is noted
		}
	}
	if err != nil {
		return false, fmt.Errorf("find an owner: %w", d.describe(err))
	}
	d.owners.add(of, today)
	return true, nil
}
