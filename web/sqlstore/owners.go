package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// AddOwner notes the id of a new visitor, which NewVisitor has made. He is known by his devices
// alone: see AddDevice. Owners whom the program knows in another way need not be added. The
// error wraps ErrBusy if Limits.Owners were added in the last minute.
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
			digest(owner), timestamp(now), date(now), timestamp(now.Add(-time.Minute)), strconv.Itoa(d.limits.Owners), Tag(owner),
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
