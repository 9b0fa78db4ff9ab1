package sqlwriter

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// AddOwner makes somebody an owner whom HasOwner then knows. Only who is known
// by nothing but his id need be one. The error wraps ErrBusy when Limits.Owners
// were made in the last minute.
func (d *DB) AddOwner(ctx context.Context, owner string) error {
	now := d.now()
	var added string
	err := d.queryRow(ctx, addOwner, []any{
		digest(owner), timestamp(now), date(now), timestamp(now.Add(-time.Minute)), strconv.Itoa(d.limits.Owners),
	}, &added)
	if errors.Is(err, sql.ErrNoRows) {
		err = fmt.Errorf("%w: somebody new can have a session in %d cases a minute", ErrBusy, d.limits.Owners)
	}
	if err != nil {
		return fmt.Errorf("add an owner: %w", d.describe(err))
	}
	return nil
}

// HasOwner reports whether somebody was made an owner, and notes that he came.
func (d *DB) HasOwner(ctx context.Context, owner string) (bool, error) {
	var used string
	err := d.queryRow(ctx, findOwner, []any{digest(owner)}, &used)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if today := date(d.now()); err == nil && used < today {
		err = d.exec(ctx, useOwner, digest(owner), today)
	}
	if err != nil {
		return false, fmt.Errorf("find an owner: %w", err)
	}
	return true, nil
}
