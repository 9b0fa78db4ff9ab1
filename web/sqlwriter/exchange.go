package sqlwriter

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/wasm/engine"
)

// Exchanged is what came of an exchange.
type Exchanged struct {
	// Next is the cursor for the next exchange; none when there is no session.
	Next string
	// Received is one item with what was merged since the cursor that was
	// given, or empty.
	Received string
	// Skipped counts what was left out of what was sent, as it is no item that
	// this version can read.
	Skipped int
}

// Server returns the exchange of a session, in the words of package session.
func (d *DB) Server(owner, name string) session.Server {
	return func(ctx context.Context, cursor, unsent string) (next, received string, err error) {
		done, err := d.Exchange(ctx, owner, name, cursor, unsent)
		return done.Next, done.Received, err
	}
}

// Exchange merges what is unsent, all of it or nothing, and returns what was
// merged since the cursor, and not in this call. No batch is ever returned in
// part.
//
// After an error that wraps session.ErrCursor, session.ErrQuota, ErrStamp,
// ErrMalformed or session.ErrConfig, nothing has been merged. After another it
// may have been, and to send it again does no harm.
func (d *DB) Exchange(ctx context.Context, owner, name, cursorText, unsent string) (Exchanged, error) {
	done, err := d.exchange(ctx, owner, name, cursorText, unsent)
	if err != nil {
		if errors.Is(err, errGone) {
			err = fmt.Errorf("%w: %w", session.ErrCursor, err)
		}
		return Exchanged{}, fmt.Errorf("session %q: exchange: %w", name, err)
	}
	return done, nil
}

func (d *DB) exchange(ctx context.Context, owner, name, cursorText, unsent string) (Exchanged, error) {
	of, err := newID(owner, name)
	if err != nil {
		return Exchanged{}, err
	}
	sent, skipped, err := d.parse(unsent)
	if err != nil {
		return Exchanged{}, err
	}
	at, used, found, err := d.find(ctx, of)
	if err != nil {
		return Exchanged{}, err
	}
	since := cursor{version: -1}
	if cursorText != "" {
		var ok bool
		if since, ok = parseCursor(cursorText); !ok || !found || since.epoch != at.epoch || since.version > at.version {
			return Exchanged{}, session.ErrCursor
		}
	}
	if !found && sent.empty() {
		return Exchanged{Skipped: skipped}, nil
	}
	if at, err = d.use(ctx, of, at, used, found); err != nil {
		return Exchanged{}, d.describe(err)
	}
	if !sent.empty() {
		if err := d.merge(ctx, of, at.epoch, sent); err != nil {
			return Exchanged{}, err
		}
	}
	next, merged, err := d.readSince(ctx, of, since.version)
	if err != nil {
		return Exchanged{}, err
	}
	if next.epoch != at.epoch {
		return Exchanged{}, errGone
	}
	return Exchanged{
		Next:     next.String(),
		Received: merged.without(sent).text(),
		Skipped:  skipped,
	}, nil
}

// parse reads what was sent.
func (d *DB) parse(unsent string) (sent batch, skipped int, err error) {
	switch {
	case unsent == "":
		return batch{}, 0, nil
	case len(unsent) > d.limits.Body:
		return batch{}, 0, fmt.Errorf("%w: what is sent has %d bytes, and may have %d", session.ErrQuota, len(unsent), d.limits.Body)
	case !utf8.ValidString(unsent):
		return batch{}, 0, fmt.Errorf("%w: what is sent is not valid UTF-8", ErrMalformed)
	}
	sent.cleared, sent.records, skipped, err = engine.ParseItems(unsent)
	if err != nil {
		return batch{}, 0, fmt.Errorf("%w: what is sent is not a JSON array of items", ErrMalformed)
	}
	limit := d.now().Add(maxSkew).UnixMilli()
	check := func(stamp engine.Stamp) {
		if stamp != "" && stamp.Millis() > limit {
			err = fmt.Errorf("%w: %s is more than %v ahead of this clock", ErrStamp,
				time.UnixMilli(stamp.Millis()).UTC().Format(time.RFC3339), maxSkew)
		}
	}
	check(sent.cleared)
	for _, r := range sent.records {
		check(r.Stamp)
	}
	return sent, skipped, err
}

// readSince returns what was merged after a version, and what that leads to.
func (d *DB) readSince(ctx context.Context, of id, version int64) (next cursor, merged batch, err error) {
	rows, err := d.db.QueryContext(ctx, readSince, of.owner, of.session, strconv.FormatInt(version, 10))
	if err != nil {
		return cursor{}, batch{}, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var latest string
		var key, stamp, value sql.NullString
		if err := rows.Scan(&next.epoch, &latest, &key, &stamp, &value); err != nil {
			return cursor{}, batch{}, err
		}
		if next.version, err = strconv.ParseInt(latest, 10, 64); err != nil {
			return cursor{}, batch{}, err
		}
		switch {
		case !key.Valid:
		case key.String == "":
			merged.cleared = engine.Stamp(stamp.String)
		default:
			name, err := decodeKey(key.String)
			if err != nil {
				return cursor{}, batch{}, err
			}
			merged.records = append(merged.records, engine.Record{Key: name, Stamp: engine.Stamp(stamp.String), Value: value.String})
		}
	}
	return next, merged, rows.Err()
}

// without returns b without what sent says, too.
func (b batch) without(sent batch) batch {
	if b.cleared == sent.cleared {
		b.cleared = ""
	}
	said := make(map[engine.Record]bool, len(sent.records))
	for _, r := range sent.records {
		said[r] = true
	}
	b.records = slices.DeleteFunc(b.records, func(r engine.Record) bool { return said[r] })
	return b
}

// text returns an item that says what b says.
func (b batch) text() string { return engine.FormatItem(b.cleared, b.records) }

func unmarshal(text string, into any) error { return json.Unmarshal([]byte(text), into) }
